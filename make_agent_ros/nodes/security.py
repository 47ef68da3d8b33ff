"""SROS2 for the graph: enclaves, the variables that switch security on, a look at the keystore.

Keys and permissions are made by `ros2 security` from `config/sros2/policy.xml` (docs/field.md).
What is missing or does not fit is said in one sentence before any node is started: a node with
wrong permissions would otherwise run and be heard by nobody.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path

from make_agent_ros.nodes.arguments import ArgumentError

ENCLAVES = '/make_agent_ros'
"""Where the policy file puts the enclaves; a node's is `/make_agent_ros/<node>`."""
ENCLAVE_FILES = (
    'identity_ca.cert.pem', 'cert.pem', 'key.pem', 'permissions_ca.cert.pem', 'governance.p7s',
    'permissions.p7s',
)  # fmt: skip
"""What DDS Security reads for a participant (rmw_security_common)."""
HOW = 'make it with the commands of docs/field.md, "Who may move the robot"'
PROBE_S = 60.0
_PROBE = (
    'import sys, rclpy; rclpy.init(args=sys.argv[3:]);'
    'rclpy.create_node(sys.argv[1], namespace=sys.argv[2])'
)


def enclave_of(node: str) -> str:
    """Return the path of a node's enclave."""
    return f'{ENCLAVES}/{node}'


def environment(keystore: str, node: str) -> dict[str, str]:
    """Return the variables that make a node refuse all strangers; none without a keystore."""
    if not keystore:
        return {}
    return {
        # A shell that is set up for `ros2` as operator must not lend its enclave to the nodes.
        'ROS_SECURITY_ENCLAVE_OVERRIDE': enclave_of(node),
        'ROS_SECURITY_ENABLE': 'true',
        'ROS_SECURITY_STRATEGY': 'Enforce',
        'ROS_SECURITY_KEYSTORE': keystore,
    }


def check_keystore(keystore: Path, nodes: Sequence[str], namespace: str = '') -> None:
    """Look whether every node has its enclave, in force, for this domain and this namespace.

    Raises:
        ArgumentError: the first thing that is wrong, and what to do.
    """
    if not (keystore / 'enclaves').is_dir():
        raise ArgumentError(f'security:={keystore}: no keystore there (no folder enclaves); {HOW}')
    for node in nodes:
        folder = keystore / 'enclaves' / enclave_of(node).lstrip('/')
        missing = [name for name in ENCLAVE_FILES if not os.access(folder / name, os.R_OK)]
        if missing:
            raise ArgumentError(
                f'security:={keystore}: enclave {enclave_of(node)} lacks {", ".join(missing)}, or '
                f'this user may not read it; {HOW}'
            )
        _check_certificate(folder / 'cert.pem', enclave_of(node))
        _check_permissions(folder / 'permissions.p7s', node, namespace)


def _check_certificate(path: Path, enclave: str) -> None:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise ArgumentError(f'{path} is no certificate: {error}; {HOW}') from error
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= datetime.now(timezone.utc) <= end:
        raise ArgumentError(
            f'{path}: the certificate of {enclave} is valid from {begin:%Y-%m-%d} to '
            f"{end:%Y-%m-%d}; set this computer's clock, or make new keys"
        )


def _check_permissions(path: Path, node: str, namespace: str) -> None:
    # S/MIME keeps the signed text readable. The signature itself is verified by DDS.
    text = path.read_text(errors='replace')
    found = re.search(r'<dds\b.*</dds>', text, re.DOTALL)
    if found is None:
        raise ArgumentError(f'{path} holds no DDS permissions; {HOW}')
    permissions = ElementTree.fromstring(found.group())
    domain = int(os.environ.get('ROS_DOMAIN_ID') or 0)
    if not _covers(permissions, domain):
        raise ArgumentError(
            f'{path} is not for ROS_DOMAIN_ID {domain}; run `ros2 security create_permission` '
            'again with this ROS_DOMAIN_ID set'
        )
    topic = '/'.join(part for part in ('rt', namespace.strip('/'), node, 'state') if part)
    allowed = [
        str(element.text).strip()
        for element in permissions.iterfind('.//allow_rule/publish/topics/topic')
    ]
    if not any(fnmatchcase(topic, pattern) for pattern in allowed):
        raise ArgumentError(
            f'{path} does not let {node} publish /{topic.removeprefix("rt/")}; make permissions '
            'from config/sros2/policy.xml, with ns="/NAMESPACE" in it for a graph in a namespace'
        )


def _covers(permissions: ElementTree.Element, domain: int) -> bool:
    for domains in permissions.iterfind('.//allow_rule/domains'):
        if any(int(str(element.text)) == domain for element in domains.iterfind('id')):
            return True
        for element in domains.iterfind('id_range'):
            low, high = int(element.findtext('min', '0')), int(element.findtext('max', '232'))
            if low <= domain <= high:
                return True
    return False


def probe(keystore: str, node: str, namespace: str = '') -> None:
    """Start a ROS node under a node's name and enclave, and end it: does this ROS 2 take the keys?

    Raises:
        ArgumentError: it does not; holds what ROS 2 said.
    """
    # Under the node's own name: its permissions allow nothing else.
    arguments = ['--ros-args', '--enclave', enclave_of(node), '--log-level', 'fatal']
    try:
        done = subprocess.run(
            [sys.executable, '-c', _PROBE, node, namespace, *arguments],
            env={**os.environ, **environment(keystore, node)},
            capture_output=True, text=True, timeout=PROBE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ArgumentError(
            f'security:={keystore}: a node with enclave {enclave_of(node)} did not start within '
            f'{PROBE_S:.0f} s'
        ) from error
    if done.returncode == 0:
        return
    text = ' '.join(done.stderr.split())
    if 'security libraries' in text or 'security is not' in text:
        raise ArgumentError(
            f'security:={keystore}: the ROS 2 installed here was built without DDS security (the '
            "wheels from PyPI are); use ROS 2's Debian packages, or leave security:= away"
        )
    said = (done.stderr.strip().splitlines() or ['nothing'])[-1]
    raise ArgumentError(
        f'security:={keystore}: ROS 2 starts no node with enclave {enclave_of(node)}: {said}'
    )
