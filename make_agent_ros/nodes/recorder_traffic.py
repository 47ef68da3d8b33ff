"""The robot's wire without a robot: lowstate and lowcmd at 500 Hz, every sample numbered.

Run by `make-agent bench recorder` as a process of its own, in place of simulator and controller,
so that what is missing in a bag was lost by the recorder and by nobody else.
"""

from __future__ import annotations

import struct
import sys
import threading
import time

import numpy as np

from make_agent_ros.go2.constants import NOMINAL_JOINT_POS
from make_agent_ros.go2.layout import LOWCMD, LOWCMD_SIZE, offset_of
from make_agent_ros.go2.link import Participant
from make_agent_ros.go2.state import RobotState
from make_agent_ros.go2.wire import LowStateEncoder
from make_agent_ros.nodes.bench.child import serve

PERIOD_S = 0.002
NUMBER = offset_of(LOWCMD, 'reserve')
"""Where a LowCmd sample carries its number, for lowcmd has no tick."""


class Traffic:
    """Sends both topics from a thread until the process ends."""

    def __init__(self, domain: int) -> None:
        self._participant = Participant('lo', domain)
        self._states = self._participant.writer('rt/lowstate')
        self._commands = self._participant.writer('rt/lowcmd')
        self._lock = threading.Lock()
        self.reset()
        threading.Thread(target=self._run, daemon=True).start()

    def reset(self) -> None:
        """Forget how late samples were."""
        with self._lock:
            self._late_s = 0.0

    def figures(self) -> dict[str, float]:
        """Return the number of the newest pair, when it went out (ns), and the largest delay."""
        with self._lock:
            return {
                'number': self._number, 'sent_ns': self._sent_ns, 'late_ms_max': 1e3 * self._late_s
            }  # fmt: skip

    def _run(self) -> None:
        self._number, self._sent_ns = 0, 0
        rng = np.random.default_rng(0)
        # values that no compressor can shorten much, as a moving robot's
        walk = NOMINAL_JOINT_POS + 0.3 * rng.standard_normal((500, 12))
        encoder = LowStateEncoder()
        state = RobotState(np.array([1.0, 0, 0, 0]), np.zeros(3), walk[0], walk[1])
        command = bytearray(rng.integers(0, 256, LOWCMD_SIZE, dtype=np.uint8).tobytes())
        command[:4] = b'\0\1\0\0'
        due = time.monotonic()
        while True:
            number = self._number + 1
            state.joint_pos, state.joint_vel = walk[number % 500], walk[(7 * number) % 500]
            state.tick = 2 * number
            struct.pack_into('<I', command, NUMBER, number)
            self._states.write(encoder.encode(state))
            self._commands.write(bytes(command))
            with self._lock:
                self._number, self._sent_ns = number, time.time_ns()
                self._late_s = max(self._late_s, time.monotonic() - due)
            due += PERIOD_S
            time.sleep(max(0.0, due - time.monotonic()))


def number_of(lowcmd: bytes) -> int:
    """Return the number that a LowCmd sample of this traffic carries."""
    return int.from_bytes(lowcmd[NUMBER : NUMBER + 4], 'little')


def main() -> None:
    """Send on the DDS domain given as the first argument."""
    traffic = Traffic(int(sys.argv[1]))
    serve({'figures': traffic.figures, 'reset': traffic.reset})


if __name__ == '__main__':
    main()
