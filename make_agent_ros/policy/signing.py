"""Who made a policy: ed25519 signatures on bundles.

A signed bundle is the bundle's bytes followed by one more ONNX metadata entry, `signature`, of
fixed length. Protobuf reads the whole as one valid ONNX file, and the signature covers every byte
before it, so nothing has to be serialised again to verify it: whatever is changed before or
appended after makes it invalid.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from make_agent_ros.policy.bundle import from_bytes
from make_agent_ros.policy.onnx_mlp import BundleError

_KEY_CHARS = 64
_SIGNATURE_CHARS = 128
_VALUE_CHARS = _KEY_CHARS + 1 + _SIGNATURE_CHARS
_KEY = b'signature'


def _entry(value: bytes) -> bytes:
    """Encode `metadata_props { key: 'signature' value: value }` (onnx.proto: ModelProto 14)."""
    inner = bytes([0x0A, len(_KEY)]) + _KEY + bytes([0x12]) + _varint(len(value)) + value
    return bytes([(14 << 3) | 2]) + _varint(len(inner)) + inner


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*result, number])


_HEAD = _entry(b'0' * _VALUE_CHARS)[:-_VALUE_CHARS]
_SUFFIX_BYTES = len(_HEAD) + _VALUE_CHARS


def split(data: bytes) -> tuple[bytes, str, bytes]:
    """Return (signed bytes, signer's public key as hex, signature); ('', b'') when unsigned.

    Raises:
        BundleError: there is a signature entry, but it is not well-formed.
    """
    body, suffix = data[:-_SUFFIX_BYTES], data[-_SUFFIX_BYTES:]
    if not suffix.startswith(_HEAD):
        return data, '', b''
    key, _, signature = suffix[len(_HEAD) :].partition(b':')
    try:
        raw = bytes.fromhex(signature.decode('ascii'))
        bytes.fromhex(key.decode('ascii'))
    except ValueError as error:
        raise BundleError('the signature entry is damaged; sign the bundle again') from error
    if len(key) != _KEY_CHARS or len(raw) != _SIGNATURE_CHARS // 2:
        raise BundleError('the signature entry is damaged; sign the bundle again')
    return body, key.decode('ascii'), raw


def sign(data: bytes, key: Ed25519PrivateKey) -> bytes:
    """Return the bundle signed with `key`, replacing a signature that it already has."""
    body, _, _ = split(data)
    public = key.public_key().public_bytes_raw().hex()
    return body + _entry(f'{public}:{key.sign(body).hex()}'.encode())


def verify(data: bytes, trusted_keys: Sequence[str]) -> str:
    """Return the signer of a bundle that one of `trusted_keys` signed.

    Args:
        data: the bundle's bytes.
        trusted_keys: ed25519 public keys, as 64 hex digits or an OpenSSH `ssh-ed25519` line.

    Raises:
        BundleError: unsigned, signed by another key, or changed after signing.
        ValueError: a trusted key cannot be read.
    """
    trusted = {public_key_hex(text) for text in trusted_keys}
    body, signer, signature = split(data)
    if not signer:
        raise BundleError(
            'the bundle is not signed (or was cut or extended after signing) and trusted_keys is '
            'set; sign it with make-agent sign'
        )
    if signer not in trusted:
        raise BundleError(
            f'signed by {signer[:16]}..., which is not in trusted_keys; have a trusted key sign '
            'it, or add this one to trusted_keys'
        )
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer)).verify(signature, body)
    except InvalidSignature as error:
        raise BundleError(
            f'the signature of {signer[:16]}... does not fit: the bundle was changed after '
            'signing; get the original or sign it again'
        ) from error
    return signer


def public_key_hex(text: str) -> str:
    """Return an ed25519 public key as 64 hex digits.

    Args:
        text: 64 hex digits, or an OpenSSH public key line `ssh-ed25519 AAAA... comment`.

    Raises:
        ValueError: neither of the two.
    """
    text = text.strip()
    try:
        if text.startswith('ssh-ed25519 '):
            blob = base64.b64decode(text.split()[1], validate=True)
            if len(blob) == 51:
                return blob[-32:].hex()
        elif len(bytes.fromhex(text)) == 32:
            return text.lower()
    except ValueError:
        pass
    raise ValueError(
        f'trusted key {text[:40]!r} is neither 64 hex digits nor an OpenSSH ssh-ed25519 line'
    )


def new_key(path: Path) -> str:
    """Write a new private key (PEM, readable by its owner only); return its public key as hex.

    Raises:
        FileExistsError: `path` exists; a key is never overwritten.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb') as file:
        file.write(pem)
    return key.public_key().public_bytes_raw().hex()


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read an unencrypted ed25519 private key, PEM or OpenSSH.

    Raises:
        ValueError: not such a key.
    """
    data = path.read_bytes()
    openssh = b'BEGIN OPENSSH' in data[:64]
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    try:
        key = load(data, password=None)
    except (ValueError, TypeError) as error:
        raise ValueError(f'{path}: not an unencrypted private key ({error})') from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f'{path}: a {type(key).__name__}; make an ed25519 key instead')
    return key


def sign_file(policy: Path, key: Path, out: Path) -> str:
    """Sign the bundle in `policy` with the private key in `key`; write it to `out` in one step.

    Returns:
        The signer's public key as hex, which goes into `trusted_keys`.

    Raises:
        BundleError: `policy` is no valid bundle.
        ValueError: `key` is no ed25519 key.
    """
    data = policy.read_bytes()
    from_bytes(data)
    private = load_key(key)
    temporary = out.with_name(out.name + '.part')
    temporary.write_bytes(sign(data, private))
    temporary.replace(out)
    return private.public_key().public_bytes_raw().hex()
