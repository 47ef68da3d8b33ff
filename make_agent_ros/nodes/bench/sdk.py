"""The loop that field scripts run, as the benchmark's reference.

Written as unitree_rl_gym's `deploy_real.py` and the SDK's low-level examples are: unitree_sdk2py
message objects, its CRC, a subscriber callback that keeps the last state, torch inference,
`time.sleep(dt)` after the work. The policy runs at 50 Hz, LowCmd goes out at 500 Hz.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import numpy as np
import torch
from unitree_sdk2py.core.channel import (
    ChannelFactoryInitialize,
    ChannelPublisher,
    ChannelSubscriber,
)
from unitree_sdk2py.idl.default import unitree_go_msg_dds__LowCmd_
from unitree_sdk2py.idl.unitree_go.msg.dds_ import LowCmd_, LowState_
from unitree_sdk2py.utils.crc import CRC

from make_agent_ros.control.timing import Ring
from make_agent_ros.nodes.bench import HIDDEN
from make_agent_ros.nodes.bench.child import Usage, serve

DT_S = 0.002
DECIMATION = 10
KP, KD = 60.0, 5.0
STAND = [0.0, 0.9, -1.8] * 4


class SdkLoop:
    """Holds the robot in a standing pose the usual way."""

    def __init__(self, domain: int) -> None:
        ChannelFactoryInitialize(domain, 'lo')
        self._stamp_arrivals()
        self.low_state: Any = None
        self.low_cmd = unitree_go_msg_dds__LowCmd_()
        self.crc = CRC()
        self._init_command()
        torch.set_num_threads(1)
        first, second = HIDDEN
        self.policy = torch.nn.Sequential(
            torch.nn.Linear(47, first),
            torch.nn.ELU(),
            torch.nn.Linear(first, second),
            torch.nn.ELU(),
            torch.nn.Linear(second, 12),
        )
        self.action = np.zeros(12, dtype=np.float32)
        self.latency, self.period_error, self.inference = Ring(), Ring(), Ring()
        self.publisher = ChannelPublisher('rt/lowcmd', LowCmd_)
        self.publisher.Init()
        self.subscriber = ChannelSubscriber('rt/lowstate', LowState_)
        self.subscriber.Init(self._on_state, 10)
        self.usage = Usage()

    def _stamp_arrivals(self) -> None:
        """Note when a sample's bytes reach Python, the same instant that our link stamps."""
        self.arrival_s = self.used_arrival_s = 0.0
        original = LowState_.deserialize

        def deserialize(data: bytes, *args: Any, **kwargs: Any) -> Any:
            arrived_s = time.monotonic()
            sample = original(data, *args, **kwargs)
            self.arrival_s = arrived_s
            return sample

        LowState_.deserialize = deserialize

    def _init_command(self) -> None:
        self.low_cmd.head[0], self.low_cmd.head[1] = 0xFE, 0xEF
        self.low_cmd.level_flag = 0xFF
        for motor in self.low_cmd.motor_cmd:
            motor.mode, motor.q, motor.dq = 0x01, 2.146e9, 16000.0
            motor.kp = motor.kd = motor.tau = 0.0

    def _on_state(self, message: Any) -> None:
        self.low_state = message
        self.used_arrival_s = self.arrival_s

    def run(self) -> None:
        """Loop for ever."""
        tick, last_policy_s = 0, time.monotonic()
        start: list[float] | None = None
        while True:
            if self.low_state is None:
                time.sleep(DT_S)
                continue
            state, arrived_s = self.low_state, self.used_arrival_s
            start = start or [motor.q for motor in state.motor_state[:12]]
            if tick % DECIMATION == 0:
                now_s = time.monotonic()
                if tick:
                    self.period_error.add(abs(now_s - last_policy_s - DT_S * DECIMATION))
                last_policy_s = now_s
                self._infer(state)
            share = min(tick * DT_S / 2.0, 1.0)
            for i in range(12):
                motor = self.low_cmd.motor_cmd[i]
                motor.q = (1.0 - share) * start[i] + share * STAND[i]
                motor.dq, motor.kp, motor.kd, motor.tau = 0.0, KP, KD, 0.0
            self.low_cmd.crc = self.crc.Crc(self.low_cmd)
            self.publisher.Write(self.low_cmd)
            self.latency.add(time.monotonic() - arrived_s)
            tick += 1
            time.sleep(DT_S)

    def _infer(self, state: Any) -> None:
        q = np.array([motor.q for motor in state.motor_state[:12]], dtype=np.float32)
        dq = np.array([motor.dq for motor in state.motor_state[:12]], dtype=np.float32)
        gyro = np.array(state.imu_state.gyroscope, dtype=np.float32)
        gravity = np.zeros(3, dtype=np.float32)
        obs = np.concatenate([gyro, gravity, np.zeros(3), q, dq, self.action, np.zeros(2)])
        begin = time.perf_counter()
        with torch.no_grad():
            action = self.policy(torch.from_numpy(obs.astype(np.float32)).unsqueeze(0))
        self.action = action.numpy().squeeze()
        self.inference.add(time.perf_counter() - begin)

    def reset(self) -> None:
        """Begin counting."""
        for ring in (self.latency, self.period_error, self.inference):
            ring.clear()
        self.usage.reset()

    def figures(self) -> dict[str, float]:
        """Return the same figures as our loop's, in microseconds."""
        latency = self.latency.percentile(50, 99, 99.9, 100)
        names = ('p50', 'p99', 'p999', 'max')
        result = {f'latency_us_{n}': 1e6 * v for n, v in zip(names, latency, strict=True)}
        result['period_error_us_p99'] = 1e6 * self.period_error.percentile(99)[0]
        result['inference_us_p99'] = 1e6 * self.inference.percentile(99)[0]
        return {**result, **self.usage.figures()}


def main() -> None:
    """Run the loop on the DDS domain given as the first argument."""
    loop = SdkLoop(int(sys.argv[1]))
    threading.Thread(target=loop.run, daemon=True).start()
    serve({'reset': loop.reset, 'figures': loop.figures})


if __name__ == '__main__':
    main()
