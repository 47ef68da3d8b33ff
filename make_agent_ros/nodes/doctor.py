"""`make-agent doctor`: what stands between this machine and a walking robot, with remedies.

Listens only: it never writes on the robot's topics, so it may run beside a controller.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from make_agent_ros import __version__
from make_agent_ros.control.posture import posture_doubt
from make_agent_ros.nodes.arguments import ArgumentError
from make_agent_ros.nodes.network import (
    ROBOT_SUBNET,
    NetworkError,
    interface_addresses,
    robot_interface,
)

Level = Literal['ok', 'warn', 'fail']
MARKS: dict[Level, str] = {'ok': 'ok  ', 'warn': 'warn', 'fail': 'FAIL'}

LISTEN_S = 2.0
LOWSTATE_HZ = 500.0
BATTERY_WARN = 30.0
CLOCK_WARN_S = 1.0
IFF_UP, IFF_MULTICAST = 0x1, 0x1000  # linux/if.h
PACKAGES = ('numpy', 'onnx', 'cyclonedds', 'mcap', 'mujoco', 'torch')


@dataclass(frozen=True)
class Finding:
    """One line of the doctor."""

    name: str
    level: Level
    found: str
    remedy: str = ''


@dataclass(frozen=True)
class Heard:
    """What came over the wire while listening."""

    count: int = 0
    seconds: float = LISTEN_S
    lost: int = 0
    """Samples missing by the robot's own tick."""
    battery_soc: float = float('nan')
    clock_offset_s: float = float('nan')
    """The robot's clock minus ours, by the DDS source time."""
    state_writers: tuple[str, ...] = ()
    command_writers: tuple[str, ...] = ()
    doubt: str = ''
    """What is odd about the pose measured last."""
    error: str = ''


def run_doctor(robot: str, interface: str, domain: int, *, as_json: bool) -> int:
    """Examine everything and print it.

    Returns:
        0 when nothing fails, else 1.
    """
    findings = examine(robot, interface, domain)
    if as_json:
        sys.stdout.write(json.dumps([asdict(f) for f in findings], indent=1) + '\n')
    else:
        for f in findings:
            remedy = f'\n{"":26}-> {f.remedy}' if f.remedy and f.level != 'ok' else ''
            sys.stdout.write(f'{MARKS[f.level]}  {f.name:<18}  {f.found}{remedy}\n')
    return int(any(f.level == 'fail' for f in findings))


def examine(robot: str, interface: str = '', domain: int = -1) -> list[Finding]:
    """Return all findings, network first.

    Args:
        robot: sim or go2.
        interface: of the robot link; empty to choose as the graph does.
        domain: of the robot link; negative to choose as the graph does.

    Raises:
        ArgumentError: `robot` is neither.
    """
    if robot not in ('sim', 'go2'):
        raise ArgumentError(f'robot {robot!r}; expected sim or go2')
    real = robot == 'go2'
    domain = domain if domain >= 0 else (0 if real else 1)
    if not interface and not real:
        interface = 'lo'
    try:
        interface = interface or robot_interface()
    except NetworkError as error:
        return [Finding('interface', 'fail', str(error), 'see above'), *machine_findings()]
    heard = listen(interface, domain)
    return [
        *network_findings(interface, real),
        _domain_finding(domain, real),
        *robot_findings(heard, real, interface, domain),
        *machine_findings(),
    ]


def network_findings(interface: str, real: bool) -> list[Finding]:
    """Interface, address and multicast."""
    folder = Path('/sys/class/net') / interface
    if not folder.is_dir():
        names = ', '.join(sorted(path.name for path in folder.parent.iterdir()))
        return [Finding('interface', 'fail', f'{interface} does not exist', f'use one of {names}')]
    flags = int((folder / 'flags').read_text(), 16)
    up = bool(flags & IFF_UP)
    address = interface_addresses().get(interface, '')
    fits = address.startswith(ROBOT_SUBNET) if real else bool(address)
    multicast = interface == 'lo' or bool(flags & IFF_MULTICAST)
    return [
        Finding(
            'interface', 'ok' if up else 'fail', f'{interface} is {"up" if up else "down"}',
            f'sudo ip link set {interface} up; is the cable in?',
        ),
        Finding(
            'address', 'ok' if fits else 'fail', address or 'none',
            f'sudo ip address add {ROBOT_SUBNET}99/24 dev {interface}' if real
            else f'sudo ip address add 127.0.0.1/8 dev {interface}',
        ),
        Finding(
            'multicast', 'ok' if multicast else 'fail', 'on' if multicast else 'off',
            f'sudo ip link set {interface} multicast on: DDS finds its peers with it',
        ),
    ]  # fmt: skip


def _domain_finding(domain: int, real: bool) -> Finding:
    usual = 0 if real else 1
    return Finding(
        'DDS domain',
        'ok' if domain == usual else 'warn',
        f'{domain} for the robot link; ROS_DOMAIN_ID is {os.environ.get("ROS_DOMAIN_ID", "0")}',
        f'a {"Go2" if real else "simulator"} is usually on {usual}',
    )


def listen(interface: str, domain: int, seconds: float = LISTEN_S) -> Heard:
    """Listen to rt/lowstate and to who writes rt/lowcmd."""
    from make_agent_ros.go2.dds import LOWCMD_TOPIC, LOWSTATE_TOPIC, LinkError, Participant
    from make_agent_ros.go2.wire import WireError, decode_lowstate

    try:
        participant = Participant(interface, domain)
        reader = participant.reader(LOWSTATE_TOPIC, depth=2000)
    except LinkError as error:
        return Heard(error=str(error))
    try:
        deadline = time.monotonic() + seconds
        reader.wait(seconds)
        start = time.monotonic()
        deadline = max(deadline, start + seconds)
        time.sleep(max(0.0, deadline - time.monotonic()))
        now_s, elapsed = time.time(), time.monotonic() - start
        samples = reader.take(2000)
        writers = tuple(participant.writers_on(LOWSTATE_TOPIC).values())
        commanders = tuple(participant.writers_on(LOWCMD_TOPIC).values())
        if not samples:
            return Heard(state_writers=writers, command_writers=commanders)
        try:
            states = [decode_lowstate(sample.data, 0.0) for sample in samples]
        except WireError as error:
            return Heard(error=f'rt/lowstate cannot be read: {error}')
        ticks = np.diff([state.tick for state in states])
        usual = max(1.0, float(np.median(ticks))) if len(ticks) else 1.0
        stamp_s = samples[-1].sample_info.source_timestamp * 1e-9
        return Heard(
            count=len(samples),
            seconds=elapsed,
            lost=int(np.sum(np.maximum(0, np.round(ticks / usual) - 1))),
            battery_soc=states[-1].battery_soc,
            clock_offset_s=stamp_s - now_s,
            state_writers=writers,
            command_writers=commanders,
            doubt=posture_doubt(states[-1]),
        )
    finally:
        participant.close()


def robot_findings(heard: Heard, real: bool, interface: str, domain: int) -> list[Finding]:
    """What the robot says: rate, writers, battery, clock."""
    if heard.error:
        return [Finding('rt/lowstate', 'fail', heard.error, 'fix the interface first')]
    if not heard.count:
        who = (
            'Is the robot on and its cable in? `ping 192.168.123.161`; then try interface and '
            'domain: another program sees it with the same ones'
            if real
            else 'start the simulator: make-agent sim, or ros2 launch make_agent_ros sim.launch.py'
        )
        where = f'nothing heard on {interface}, domain {domain}'
        return [Finding('rt/lowstate', 'fail', where, who)]
    rate = (heard.count - 1) / heard.seconds
    steady = rate > 0.9 * LOWSTATE_HZ and heard.lost == 0
    robots, others = len(heard.state_writers), len(heard.command_writers)
    offset = heard.clock_offset_s
    return [
        Finding(
            'rt/lowstate', 'ok' if steady else 'warn',
            f'{rate:.0f} Hz, {heard.lost} samples lost in {heard.seconds:.1f} s',
            'the network or this machine is too busy: use a cable, close other programs',
        ),
        Finding(
            'robots', 'ok' if robots <= 1 else 'fail',
            f'{robots} on this domain: {", ".join(heard.state_writers) or "unnamed"}',
            'two robots (or simulators) on one domain: stop one, or give it another domain',
        ),
        Finding(
            'rt/lowcmd writers', 'ok' if others <= 1 else 'fail',
            ', '.join(heard.command_writers) or 'none',
            'only one program may write: stop the others, or the controller will refuse to arm',
        ),
        Finding(
            'joint order', 'warn' if heard.doubt else 'ok',
            heard.doubt or 'the pose fits gravity and the order of the joints',
            'the controller will not stand up from this pose',
        ),
        Finding(
            'battery', 'ok' if heard.battery_soc >= BATTERY_WARN else 'warn',
            f'{heard.battery_soc:.0f} %', 'charge before walking',
        ),
        Finding(
            'clock', 'ok' if abs(offset) < CLOCK_WARN_S else 'warn',
            f"the robot's clock is {offset:+.3f} s off ours",
            'set the clocks (chrony); recordings use our receive time, so nothing is lost',
        ),
    ]  # fmt: skip


def machine_findings() -> list[Finding]:
    """What this machine brings: ROS, real time, versions, rendering."""
    return [_ros(), _realtime(), _versions(), _rendering()]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return 'missing'


def _answers(code: str) -> str:
    """Run Python in a process of its own; return what it printed, or its error's last line."""
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=False
    )
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return ('' if done.returncode == 0 else 'error: ') + (lines[-1] if lines else 'no output')


def _ros() -> Finding:
    answer = _answers(
        'import rclpy, rclpy.utilities; print(rclpy.utilities.get_rmw_implementation_identifier())'
    )
    works = not answer.startswith('error')
    distro = os.environ.get('ROS_DISTRO', 'wheels')
    remedy = "source ROS 2's setup.bash, or pip install 'make_agent_ros[ros]'"
    if os.environ.get('RMW_IMPLEMENTATION'):
        remedy += '; unset RMW_IMPLEMENTATION if that RMW is not installed'
    return Finding('ROS 2', 'ok' if works else 'fail', f'{distro}, {answer}', remedy)


def _realtime() -> Finding:
    code = (
        'from make_agent_ros.control import realtime as r;'
        "print('; '.join(r.prepare_process() + r.prepare_thread(40)) or 'granted')"
    )
    answer = _answers(code)
    return Finding(
        'real time',
        'ok' if answer == 'granted' else 'warn',
        answer if answer == 'granted' else 'no permission',
        answer,
    )


def _versions() -> Finding:
    found = {name: _version(name) for name in PACKAGES}
    text = ', '.join(f'{name} {version}' for name, version in found.items())
    missing = [name for name, version in found.items() if version == 'missing']
    return Finding(
        'versions',
        'warn' if missing else 'ok',
        f'make_agent_ros {__version__}, Python {platform.python_version()}, {text}',
        f"{', '.join(missing)} missing: fine on the robot's own computer; elsewhere pip install "
        "'make_agent_ros[all]'",
    )


def _rendering() -> Finding:
    code = (
        "import os; os.environ.get('DISPLAY') or os.environ.setdefault('MUJOCO_GL', 'egl');"
        'import mujoco;'
        "m = mujoco.MjModel.from_xml_string('<mujoco/>'); mujoco.Renderer(m, 8, 8);"
        "print(os.environ.get('MUJOCO_GL', 'window'))"
    )
    answer = _answers(code)
    works = not answer.startswith('error')
    return Finding(
        'rendering',
        'ok' if works else 'warn',
        f'MuJoCo draws with {answer}' if works else answer,
        'no videos in reports: sudo apt-get install libegl1',
    )
