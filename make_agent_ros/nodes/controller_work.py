"""What the controller node does beside the loop, in worker threads, never in a callback.

Admit policies, write black boxes, take over from Unitree's controller and give back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from make_agent_ros.control.admission import admit
from make_agent_ros.control.blackbox import BlackBox, save
from make_agent_ros.control.faults import Reaction
from make_agent_ros.control.loop import RealtimeLoop, Status
from make_agent_ros.control.machine import MIN_DAMPING_S, Mode, Reply, Request
from make_agent_ros.nodes.black_box import start_conversion
from make_agent_ros.nodes.controller_config import ControllerNodeConfig
from make_agent_ros.nodes.guard import Guard
from make_agent_ros.policy import BundleError
from make_agent_ros.policy.third_party import read_policy

AUTO_ARM_PERIOD_S = 0.5
SILENCE_S = 3.0
"""How long other writers on rt/lowcmd may take to leave once their mode is released."""
AFTERMATH_S = 0.5
"""How long the black box goes on recording after a fault before it is written."""

Say = Callable[[str], None]
"""Takes a sentence for the log and for `~/state`."""


def start_guard(config: ControllerNodeConfig) -> Guard | None:
    """Return the dead man's guard; None where it is switched off or nothing is sent."""
    if config.guard_timeout_s <= 0.0 or config.dry_run:
        return None
    return Guard(config.interface, config.domain, config.guard_timeout_s, config.damping_kd)


class ControllerWork:
    """Slow things, each a method that returns at once and says later how it went."""

    def __init__(
        self, config: ControllerNodeConfig, loop: RealtimeLoop, box: BlackBox, info: Say, warn: Say
    ) -> None:
        """Prepare.

        Args:
            config: the node's.
            loop: gets admitted policies and requests.
            box: written to disk on a fault and on request.
            info: called with good news.
            warn: called with refusals.
        """
        self._config = config
        self._loop = loop
        self._box = box
        self._info, self._warn = info, warn
        # One thread for policies keeps their order; a release that takes seconds has its own.
        self._admissions = ThreadPoolExecutor(max_workers=1, thread_name_prefix='admission')
        self._pool = ThreadPoolExecutor(max_workers=3, thread_name_prefix='controller-work')
        self._taking_over = threading.Lock()
        self._released_mode = ''
        self._ever_armed = False
        self._tried_s = 0.0

    def close(self) -> None:
        """Finish what was begun; a black box in the making is written to its end."""
        self._admissions.shutdown(wait=False, cancel_futures=True)
        self._pool.shutdown(wait=True, cancel_futures=False)

    def keep_guard(self, guard: Guard | None) -> None:
        """Start a guard that has ended again."""
        if guard is not None and guard.lost:
            self._warn('the guard process has ended; a new one is started')
            guard.revive()

    # -- policies ----------------------------------------------------------------------------

    def load_policy(self, path: str) -> None:
        """Admit the policy in a file now, in the calling thread (start-up)."""
        try:
            self._admit(read_policy(Path(path).expanduser()), path)
        except BundleError as error:
            self._warn(f'policy refused: {error}')

    def offer(self, data: bytes) -> None:
        """Admit a policy from the graph in a worker; the running one goes on meanwhile."""
        self._admissions.submit(self._admit_quietly, data)

    def _admit_quietly(self, data: bytes) -> None:
        try:
            self._admit(data, '/policy')
        except Exception as error:
            self._warn(f'policy refused: {error}')

    def _admit(self, data: bytes, source: str) -> None:
        recent = self._box.recent_states(1.0, step=10)
        runner = admit(data, self._config.admission(), recent)
        self._loop.offer(runner)
        self._info(f'policy {runner.name} from {source} admitted')

    # -- black box ---------------------------------------------------------------------------

    def dump(self, reason: str) -> Path:
        """Write the black box a moment later; return where it will be."""
        stamp = datetime.now(timezone.utc).strftime('%Y%m%d-%H%M%S-%f')[:-3]
        folder = Path(self._config.black_box_dir).expanduser()
        path = folder / f'{stamp}-{reason}.npz'
        self._pool.submit(self._dump, path)
        return path

    def _dump(self, path: Path) -> None:
        time.sleep(AFTERMATH_S)
        try:
            offset_s = np.array(time.time() - time.monotonic())
            save({**self._box.snapshot(), 'wall_offset_s': offset_s}, path)
            self._info(f'black box written to {path}, as a bag to {path.with_suffix("")}')
            start_conversion(path)
        except OSError as error:
            self._warn(f'black box not written to {path}: {error.strerror or error}')

    # -- the robot's own controller ----------------------------------------------------------

    def arm(self) -> Reply:
        """Arm; on a real robot first release Unitree's controller, which takes seconds."""
        if self._config.robot != 'go2' or self._config.dry_run:
            return self._loop.request(Request.ARM)
        if not self._taking_over.acquire(blocking=False):
            return Reply(False, "still releasing Unitree's controller; watch ~/state")
        self._pool.submit(self._release_and_arm)
        return Reply(True, "releasing Unitree's controller, then arming; watch ~/state")

    def arm_simulator(self, status: Status) -> None:
        """Arm a simulated robot once, as soon as it is healthy; a real one waits for ~/arm."""
        self._ever_armed = self._ever_armed or status.armed
        healthy = all(fault.reaction is Reaction.WARN for fault in status.warnings)
        now_s = time.monotonic()
        if (
            self._config.robot == 'sim'
            and not (self._ever_armed or self._config.dry_run)
            and status.mode is Mode.PASSIVE
            and healthy
            and now_s - self._tried_s > AUTO_ARM_PERIOD_S
        ):
            self._tried_s = now_s
            self._loop.request(Request.ARM)

    def _release_and_arm(self) -> None:
        try:
            from make_agent_ros.go2.motion_switcher import MotionSwitcher

            with MotionSwitcher(self._config.interface, self._config.domain) as switcher:
                self._released_mode = switcher.release(self._config.release_timeout_s)
            self._await_silence()
            reply = self._loop.request(Request.ARM)
            (self._info if reply.accepted else self._warn)(reply.sentence)
        except Exception as error:
            self._warn(f"not armed, Unitree's controller was not released: {error}")
        finally:
            self._taking_over.release()

    def _await_silence(self) -> None:
        """Give a released controller time to leave rt/lowcmd, and the search time to begin."""
        deadline = time.monotonic() + SILENCE_S
        # None before the first search, names while others write, empty when nobody does.
        while self._loop.controller.inputs.foreign_writers != ():
            if time.monotonic() > deadline:
                return  # the controller refuses, and says who it is
            time.sleep(0.05)

    def hand_back(self) -> Reply:
        """Lie down, damp, disarm and, on a real robot, start Unitree's controller again."""
        if not self._taking_over.acquire(blocking=False):
            return Reply(False, 'already on the way; watch ~/state')
        reply = self._loop.request(Request.LIE_DOWN)
        if not reply.accepted:
            self._taking_over.release()
            return reply
        self._pool.submit(self._hand_back)
        return Reply(True, 'lying down, then damping, then disarming; watch ~/state')

    def _hand_back(self) -> None:
        try:
            limit_s = self._config.lie_down_s + 2.0
            self._wait_for((Mode.DAMPING, Mode.FAULT, Mode.PASSIVE), limit_s)
            time.sleep(MIN_DAMPING_S + 0.1)
            reply = self._loop.request(Request.DISARM)
            if reply.accepted and self._config.robot == 'go2':
                from make_agent_ros.go2.motion_switcher import MotionSwitcher

                with MotionSwitcher(self._config.interface, self._config.domain) as switcher:
                    switcher.select(self._released_mode)
            (self._info if reply.accepted else self._warn)(reply.sentence)
        except Exception as error:
            self._warn(f'not handed back: {error}')
        finally:
            self._taking_over.release()

    def _wait_for(self, modes: Sequence[Mode], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            status = self._loop.status
            if status is not None and status.mode in modes:
                return
            time.sleep(0.05)
        raise TimeoutError(f'the robot did not reach {modes[0].value} within {timeout_s:.0f} s')
