"""Network interfaces of this machine (Linux)."""

from __future__ import annotations

import array
import fcntl
import random
import socket
import struct

ROBOT_SUBNET = '192.168.123.'
"""The Go2's own network; the robot is .161 on it."""
SIOCGIFADDR = 0x8915  # linux/sockios.h


HIGHEST_FREE_DOMAIN = 100
"""Above it, DDS ports lie in the kernel's range for outgoing connections."""


class NetworkError(ValueError):
    """No usable interface; the message says what to do."""


def robot_interface() -> str:
    """Return the network interface that has an address on the robot's network.

    Raises:
        NetworkError: there is none; the message says what to do.
    """
    for name, address in interface_addresses().items():
        if address.startswith(ROBOT_SUBNET):
            return name
    found = ', '.join(f'{name} {address}' for name, address in interface_addresses().items())
    raise NetworkError(
        f'no network interface has an address {ROBOT_SUBNET}x (found: {found}). Plug the cable '
        f'in, set {ROBOT_SUBNET}99/24 on that port, or name it with interface:='
    )


def interface_addresses() -> dict[str, str]:
    """Return interface -> IPv4 address, from the kernel (Linux)."""
    addresses = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = array.array('B', struct.pack('256s', name.encode()[:15]))
            try:
                fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
            except OSError:
                continue  # no IPv4 address on it
            addresses[name] = socket.inet_ntoa(request[20:24].tobytes())
    return addresses


def free_domains(count: int) -> list[int]:
    """Return DDS domains that nobody on this machine uses, for a graph of one's own.

    DDSI-RTPS 9.6.1: discovery of domain d listens on UDP port 7400 + 250 d.

    Raises:
        NetworkError: fewer than `count` are free.
    """
    found: list[int] = []
    for domain in random.sample(range(10, HIGHEST_FREE_DOMAIN), HIGHEST_FREE_DOMAIN - 10):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', 7400 + 250 * domain))
            except OSError:
                continue
        found.append(domain)
        if len(found) == count:
            return found
    raise NetworkError(f'only {len(found)} DDS domains are free on this machine; stop other nodes')
