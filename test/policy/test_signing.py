from __future__ import annotations

import onnx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from make_agent_ros.control.admission import AdmissionConfig, admit
from make_agent_ros.policy import Bundle, BundleError, from_bytes, signing, to_bytes
from make_agent_ros.policy.mlp import MlpShape


def bundle(gain: float = 0.0) -> bytes:
    import numpy as np

    shape = MlpShape(47, (8,), 12)
    layers = shape.unflatten(np.full(shape.size, gain, np.float32))
    return to_bytes(Bundle(layers=layers, gait_frequency_hz=2.0))


KEY = Ed25519PrivateKey.generate()
OTHER = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw().hex()
DATA = bundle()
SIGNED = signing.sign(DATA, KEY)


def test_a_signed_bundle_is_still_the_same_onnx_policy():
    assert signing.verify(SIGNED, [PUBLIC]) == PUBLIC
    onnx.checker.check_model(onnx.ModelProto.FromString(SIGNED))
    assert from_bytes(SIGNED).joint_names == from_bytes(DATA).joint_names


def test_signing_again_replaces_the_signature():
    twice = signing.sign(SIGNED, OTHER)
    assert len(twice) == len(SIGNED)
    assert signing.split(twice)[0] == DATA


def test_an_unsigned_bundle_is_refused():
    with pytest.raises(BundleError, match='not signed'):
        signing.verify(DATA, [PUBLIC])


def test_a_bundle_signed_again_by_a_stranger_is_refused():
    with pytest.raises(BundleError, match='not in trusted_keys'):
        signing.verify(signing.sign(SIGNED, OTHER), [PUBLIC])


def test_a_forged_bundle_with_somebodys_signature_is_refused():
    forged = bundle(0.01) + SIGNED[len(DATA) :]
    with pytest.raises(BundleError, match='changed after signing'):
        signing.verify(forged, [PUBLIC])


@pytest.mark.parametrize('cut', [1, 100, 1000])
def test_a_truncated_bundle_is_refused(cut):
    with pytest.raises(BundleError, match=r'not signed|damaged'):
        signing.verify(SIGNED[:-cut], [PUBLIC])


def test_a_signed_bundle_with_something_appended_is_refused():
    # Protobuf lets later fields override earlier ones, so this would be another policy.
    with pytest.raises(BundleError, match='not signed'):
        signing.verify(SIGNED + DATA, [PUBLIC])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_no_changed_byte_is_accepted(position, change):
    changed = bytearray(SIGNED)
    changed[position] ^= change
    with pytest.raises(BundleError):
        if signing.verify(bytes(changed), [PUBLIC]) == PUBLIC:
            # Hex digits may change case without changing the signature.
            assert bytes(changed).lower() == SIGNED.lower()
            raise BundleError('same signature, other letters')


def test_keys_are_read_as_hex_and_as_openssh_lines(tmp_path):
    line = KEY.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    assert signing.public_key_hex(line.decode() + ' me@desk') == PUBLIC
    assert signing.public_key_hex(PUBLIC.upper()) == PUBLIC
    with pytest.raises(ValueError, match='neither'):
        signing.public_key_hex('ssh-rsa AAAA')


def test_a_key_file_signs_and_is_private_and_is_never_overwritten(tmp_path):
    path = tmp_path / 'key.pem'
    public = signing.new_key(path)
    assert path.stat().st_mode & 0o077 == 0
    policy = tmp_path / 'policy.onnx'
    policy.write_bytes(DATA)
    assert signing.sign_file(policy, path, policy) == public
    assert signing.verify(policy.read_bytes(), [public]) == public
    with pytest.raises(FileExistsError):
        signing.new_key(path)
    with pytest.raises(ValueError, match='not an unencrypted'):
        signing.load_key(policy)


def test_the_controller_admits_only_trusted_signatures():
    config = AdmissionConfig(trusted_keys=(PUBLIC,))
    admit(SIGNED, config)
    for data in (DATA, signing.sign(DATA, OTHER)):
        with pytest.raises(BundleError):
            admit(data, config)
