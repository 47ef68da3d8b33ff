"""A program on Unitree's SDK, run as a process of its own: `sdk_peer.py ROLE DOMAIN`.

It knows nothing of the package under test and uses the SDK's classes as its examples do. What it
learns it prints as one JSON line.
"""

from __future__ import annotations

import json
import sys
import time

from unitree_sdk2py.comm.motion_switcher.motion_switcher_client import MotionSwitcherClient
from unitree_sdk2py.core.channel import (
    ChannelFactoryInitialize,
    ChannelPublisher,
    ChannelSubscriber,
)
from unitree_sdk2py.idl.default import unitree_go_msg_dds__LowCmd_, unitree_go_msg_dds__LowState_
from unitree_sdk2py.idl.unitree_go.msg.dds_ import LowCmd_, LowState_
from unitree_sdk2py.utils.crc import CRC
from unitree_sdk2py.utils.thread import RecurrentThread

DT = 0.002


def say(**values) -> None:
    sys.stdout.write(json.dumps(values) + '\n')
    sys.stdout.flush()


def new_command() -> LowCmd_:
    command = unitree_go_msg_dds__LowCmd_()
    command.head[0], command.head[1] = 0xFE, 0xEF
    command.level_flag = 0xFF
    for motor in command.motor_cmd:
        motor.mode = 0x01
        motor.q, motor.dq = 2.146e9, 16000.0
        motor.kp = motor.kd = motor.tau = 0.0
    return command


def subscribe(topic: str, kind, seconds: float = 10.0):
    """Print the first sample that carries a right CRC."""
    subscriber = ChannelSubscriber(topic, kind)
    subscriber.Init()
    message = subscriber.Read(seconds)
    good = CRC().Crc(message) == message.crc
    if topic == 'rt/lf/lowstate':
        first = message.tick
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            message = subscriber.Read(0.2) or message
        say(crc=good, ticks=message.tick - first)
    elif kind is LowState_:
        q = [motor.q for motor in message.motor_state]
        say(q=q, tick=message.tick, crc=good, quaternion=list(message.imu_state.quaternion))
    else:
        motors = message.motor_cmd
        say(q=[m.q for m in motors], kp=[m.kp for m in motors], crc=good)


def publish_states(seconds: float = 6.0) -> None:
    publisher = ChannelPublisher('rt/lowstate', LowState_)
    publisher.Init()
    message = unitree_go_msg_dds__LowState_()
    message.imu_state.quaternion = [1.0, 0.0, 0.0, 0.0]
    for slot in range(20):
        message.motor_state[slot].q = slot / 10
    for i in range(int(seconds / DT)):
        message.tick = 2 * i
        message.crc = CRC().Crc(message)
        publisher.Write(message)
        time.sleep(DT)


def publish_commands(seconds: float = 6.0) -> None:
    publisher = ChannelPublisher('rt/lowcmd', LowCmd_)
    publisher.Init()
    command = new_command()
    for slot in range(12):
        command.motor_cmd[slot].q = slot / 10
        command.motor_cmd[slot].kp = 20.0
    command.crc = CRC().Crc(command)
    for _ in range(int(seconds / DT)):
        publisher.Write(command)
        time.sleep(DT)


class Stand:
    """Folds the legs, then stretches them, from the pose first seen: the SDK's stand example."""

    FOLDED = (0.0, 1.36, -2.65) * 4
    STANDING = (0.0, 0.9, -1.8) * 4

    def __init__(self) -> None:
        self.state = None
        self.start: list[float] = []
        self.time = 0.0
        self.command = new_command()
        self.crc = CRC()
        self.publisher = ChannelPublisher('rt/lowcmd', LowCmd_)
        self.publisher.Init()
        self.subscriber = ChannelSubscriber('rt/lowstate', LowState_)
        self.subscriber.Init(self.on_state, 10)

    def on_state(self, message: LowState_) -> None:
        self.state = message

    def write(self) -> None:
        if self.state is None:
            return
        if not self.start:
            self.start = [self.state.motor_state[i].q for i in range(12)]
        self.time += DT
        fold, stretch = min(self.time / 1.0, 1.0), min(max(self.time - 1.0, 0.0) / 1.0, 1.0)
        for i in range(12):
            target = (1 - fold) * self.start[i] + fold * self.FOLDED[i]
            target = (1 - stretch) * target + stretch * self.STANDING[i]
            motor = self.command.motor_cmd[i]
            motor.q, motor.dq, motor.kp, motor.kd, motor.tau = target, 0.0, 60.0, 5.0, 0.0
        self.command.crc = self.crc.Crc(self.command)
        self.publisher.Write(self.command)

    def run(self, seconds: float) -> None:
        thread = RecurrentThread(interval=DT, target=self.write, name='stand')
        thread.Start()
        while self.time < seconds:
            time.sleep(0.05)
        say(q=[self.state.motor_state[i].q for i in range(12)])
        time.sleep(60.0)  # holding the stand until somebody ends the process


def switch_modes() -> None:
    """Release the robot's own controller and start another one."""
    client = MotionSwitcherClient()
    client.SetTimeout(5.0)
    client.Init()
    before = client.CheckMode()
    released = client.ReleaseMode()
    after = client.CheckMode()
    selected = client.SelectMode('ai')
    say(before=before, released=released, after=after, selected=selected, end=client.CheckMode())


ROLES = {
    'read-lowstate': lambda: subscribe('rt/lowstate', LowState_),
    'read-lf-lowstate': lambda: subscribe('rt/lf/lowstate', LowState_),
    'read-lowcmd': lambda: subscribe('rt/lowcmd', LowCmd_),
    'write-lowstate': publish_states,
    'write-lowcmd': publish_commands,
    'stand': lambda: Stand().run(4.0),
    'switch-modes': switch_modes,
}

if __name__ == '__main__':
    ChannelFactoryInitialize(int(sys.argv[2]), 'lo')
    ROLES[sys.argv[1]]()
