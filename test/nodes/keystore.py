"""An SROS2 keystore made of a policy file, laid out as by `ros2 security`, without its tools."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

Rules = dict[str, set[str]]
"""publish, subscribe, reply, request -> full ROS names."""

GOVERNANCE = """<?xml version="1.0" encoding="UTF-8"?>
<dds><domain_access_rules><domain_rule>
<domains><id>{domain}</id></domains>
<allow_unauthenticated_participants>false</allow_unauthenticated_participants>
<enable_join_access_control>true</enable_join_access_control>
<discovery_protection_kind>ENCRYPT</discovery_protection_kind>
<liveliness_protection_kind>ENCRYPT</liveliness_protection_kind>
<rtps_protection_kind>SIGN</rtps_protection_kind>
<topic_access_rules><topic_rule>
<topic_expression>*</topic_expression>
<enable_discovery_protection>true</enable_discovery_protection>
<enable_liveliness_protection>true</enable_liveliness_protection>
<enable_read_access_control>true</enable_read_access_control>
<enable_write_access_control>true</enable_write_access_control>
<metadata_protection_kind>ENCRYPT</metadata_protection_kind>
<data_protection_kind>ENCRYPT</data_protection_kind>
</topic_rule></topic_access_rules>
</domain_rule></domain_access_rules></dds>
"""


def full_name(name: str, namespace: str, node: str) -> str:
    """Resolve a name of a profile as ROS 2 resolves a node's."""
    if name.startswith('/'):
        return name
    prefix = namespace.rstrip('/')
    return f'{prefix}/{node}{name[1:]}' if name.startswith('~') else f'{prefix}/{name}'


def policy_rules(path: Path) -> dict[str, Rules]:
    """Read a policy file: enclave path -> what its profiles allow."""
    found: dict[str, Rules] = {}
    for enclave in ElementTree.parse(path).getroot().iterfind('enclaves/enclave'):
        rules: Rules = {kind: set() for kind in ('publish', 'subscribe', 'reply', 'request')}
        for profile in enclave.iterfind('profiles/profile'):
            for block in profile:
                names = {
                    full_name(str(e.text), profile.attrib['ns'], profile.attrib['node'])
                    for e in block
                }
                for kind in block.attrib:
                    rules[kind] |= names
        found[enclave.attrib['path']] = rules
    return found


def dds_topics(rules: Rules) -> dict[str, list[str]]:
    """Translate into DDS topics: rt/ for topics, rq/...Request and rr/...Reply for services."""
    requests = {kind: {f'rq{n}Request' for n in rules[kind]} for kind in ('reply', 'request')}
    replies = {kind: {f'rr{n}Reply' for n in rules[kind]} for kind in ('reply', 'request')}
    both = {'ros_discovery_info'}
    publish = {f'rt{n}' for n in rules['publish']} | requests['request'] | replies['reply']
    subscribe = {f'rt{n}' for n in rules['subscribe']} | requests['reply'] | replies['request']
    return {'publish': sorted(publish | both), 'subscribe': sorted(subscribe | both)}


@dataclass
class Authority:
    """A key with its own certificate, which signs others."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def sign_text(self, text: str) -> bytes:
        """Return the S/MIME message that DDS Security reads, the text in the clear."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(text.encode())
        builder = builder.add_signer(self.certificate, self.key, hashes.SHA256())
        options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Text]
        return builder.sign(serialization.Encoding.SMIME, options)


def make_certificate(
    name: str, key: ec.EllipticCurvePrivateKey, by: Authority | None, days: tuple[int, int]
) -> x509.Certificate:
    """Return a certificate, self-signed without an authority, valid `days` from now."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    return builder.sign(key if by is None else by.key, hashes.SHA256())


def permissions(
    enclave: str, topics: dict[str, list[str]], domain: int, days: tuple[int, int]
) -> str:
    """Return the permissions document of an enclave."""
    now = datetime.now(timezone.utc)
    begin, end = (
        (now + timedelta(days=day)).replace(tzinfo=None).isoformat('T', 'seconds') for day in days
    )
    rules = ''
    for kind, names in topics.items():
        listed = ''.join(f'<topic>{escape(name)}</topic>' for name in names)
        rules += f'<{kind}><topics>{listed}</topics></{kind}>'
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<dds><permissions><grant name="{enclave}">
<subject_name>CN={enclave}</subject_name>
<validity><not_before>{begin}</not_before><not_after>{end}</not_after></validity>
<allow_rule><domains><id>{domain}</id></domains>{rules}</allow_rule>
<default>DENY</default>
</grant></permissions></dds>
"""


def make_keystore(
    root: Path, policy: Path, domain: int = 0, days: tuple[int, int] = (-1, 365)
) -> Path:
    """Make a keystore with every enclave of a policy file."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = Authority(key, make_certificate('sros2CA', key, None, (-2, 3650)))
    ca_pem = authority.certificate.public_bytes(serialization.Encoding.PEM)
    governance = authority.sign_text(GOVERNANCE.format(domain=domain))
    for enclave, rules in policy_rules(policy).items():
        folder = root / 'enclaves' / enclave.lstrip('/')
        folder.mkdir(parents=True)
        own = ec.generate_private_key(ec.SECP256R1())
        certificate = make_certificate(enclave, own, authority, days)
        text = permissions(enclave, dds_topics(rules), domain, days)
        files = {
            'identity_ca.cert.pem': ca_pem,
            'permissions_ca.cert.pem': ca_pem,
            'cert.pem': certificate.public_bytes(serialization.Encoding.PEM),
            'key.pem': own.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            'governance.p7s': governance,
            'permissions.p7s': authority.sign_text(text),
        }
        for name, data in files.items():
            (folder / name).write_bytes(data)
    return root
