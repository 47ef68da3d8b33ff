"""The real-time loop: a thread of its own between the robot link and the controller.

Each new lowstate wakes the loop, which answers it at once; when none comes, an absolute deadline
does, so that commands (damping, in the end) go out at the low-level rate whatever the robot does.
Other threads talk to it through latest-value slots and a mailbox of requests that is emptied
between two ticks; they never hold a lock that the loop waits for.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from make_agent_ros.control import realtime
from make_agent_ros.control.blackbox import BlackBox
from make_agent_ros.control.controller import Controller, ControllerConfig
from make_agent_ros.control.faults import Fault
from make_agent_ros.control.machine import Mode, Reply, Request
from make_agent_ros.control.runner import PolicyRunner
from make_agent_ros.control.timing import LoopTiming
from make_agent_ros.go2.command import JointCommand, damping_command
from make_agent_ros.go2.state import RobotState


class Link(Protocol):
    """The robot as the loop sees it (`go2.link.RobotLink`)."""

    @property
    def missing(self) -> int:
        """Samples that never came, since the link was opened."""

    def wait_state(self, timeout_s: float) -> RobotState | None:
        """Block for a sample newer than the last one returned; None after the timeout."""

    def write(self, command: JointCommand) -> None:
        """Send one command; OSError or RuntimeError when it could not be sent."""

    def lowcmd_writers(self) -> list[str]:
        """Return other writers on rt/lowcmd."""


@dataclass(frozen=True)
class LoopConfig:
    """Rates and times of the loop."""

    rate_hz: float = 500.0
    """Low-level commands per second."""
    exit_damping_s: float = 0.5
    """How long damping is sent when the loop ends, s."""
    search_s: float = 1.0
    """How long the bus is searched for other writers before arming is possible, s."""
    watch_period_s: float = 0.1
    """How often the bus is searched for other writers, s."""
    write_error_max_s: float = 0.05
    """How long the link may refuse commands before the loop gives up, s."""
    realtime_priority: int = 40
    """SCHED_FIFO priority asked for; 0 leaves the scheduler alone."""


@dataclass(frozen=True)
class Status:
    """What the loop tells about itself; a new object every few ticks."""

    time_s: float
    mode: Mode
    armed: bool
    fault: Fault | None
    warnings: tuple[Fault, ...]
    state: RobotState | None
    policy: str
    on_probation: bool
    velocity: tuple[float, float, float]
    command_stale: bool
    estimated: tuple[float, float, float] | None = None
    """Velocity that the policy's velocity loop estimates while walking, m/s and rad/s; None
    without one."""
    added: tuple[float, float, float] | None = None
    """What it adds to the command."""


class RealtimeLoop(threading.Thread):
    """Runs the controller against the link until stopped, and damps before it ends."""

    STATUS_EVERY = 5
    """Ticks between two status objects: 100 Hz."""

    def __init__(
        self,
        link: Link,
        controller: Controller,
        config: LoopConfig | None = None,
        black_box: BlackBox | None = None,
        clock: Callable[[], float] = time.monotonic,
        beat: Callable[[bool], None] | None = None,
    ) -> None:
        """Prepare; `start()` begins.

        Args:
            link: the robot.
            controller: used by this thread alone once started.
            config: rates.
            black_box: records every tick when given.
            clock: the monotonic clock of `RobotState.stamp_s`, s.
            beat: called every few ticks with the armed flag (the dead man's guard).
        """
        super().__init__(name='control-loop', daemon=False)
        self.config = config or LoopConfig()
        self.controller = controller
        self.black_box = black_box
        self.timing = LoopTiming.new()
        self.missing_permissions: list[str] = []
        self.error: BaseException | None = None
        """What ended the loop, if it was an exception."""
        self.status: Status | None = None
        self._link = link
        self._clock = clock
        self._beat = beat
        self._requests: deque[tuple[Request, Future[Reply]]] = deque()
        self._offered: deque[PolicyRunner] = deque(maxlen=1)
        self._configs: deque[ControllerConfig] = deque(maxlen=1)
        self._stopping = threading.Event()
        self._last_tick_s = clock()
        self._written_s = clock()
        self._state: RobotState | None = None
        self._fed = False
        self._ticks = 0

    # -- other threads -----------------------------------------------------------------------

    def request(self, request: Request, timeout_s: float = 0.25) -> Reply:
        """Ask for something and return the loop's answer; called from any other thread."""
        answer: Future[Reply] = Future()
        self._requests.append((request, answer))
        try:
            return answer.result(timeout_s)
        except FutureTimeoutError:
            state = 'has ended' if not self.is_alive() else f'did not answer in {timeout_s} s'
            return Reply(False, f'the control loop {state}; read the log of the controller')

    def offer(self, runner: PolicyRunner) -> None:
        """Hand over an admitted policy; of several between two ticks, the newest one counts."""
        self._offered.append(runner)

    def configure(self, config: ControllerConfig) -> None:
        """Change the controller's configuration between two ticks.

        Limits, walking and damping are those of the start; what shapes the velocity command and
        the motions that begin from now on follows.
        """
        self._configs.append(config)

    def set_velocity(self, vx: float, vy: float, wz: float) -> None:
        """Set the velocity command, m/s and rad/s; it is good for half a second."""
        self.controller.inputs.velocity = (vx, vy, wz, self._clock())

    def heartbeat(self) -> None:
        """Note that the operator is there."""
        self.controller.inputs.heartbeat_s = self._clock()

    def stop(self) -> None:
        """Let the loop damp and end; `join()` waits for that."""
        self._stopping.set()

    # -- the loop's own thread ---------------------------------------------------------------

    def run(self) -> None:
        """Tick until stopped; on the way out, for whatever reason, damp."""
        # Started first, so that it does not inherit the loop's priority.
        watch = threading.Thread(target=self._watch, name='lowcmd-watch', daemon=True)
        watch.start()
        # Overflow is looked for in the values; a warning would be formatted inside a tick.
        np.seterr(all='ignore')
        self.missing_permissions += realtime.prepare_thread(self.config.realtime_priority)
        try:
            while not self._stopping.is_set():
                self._cycle()
        except BaseException as error:
            self.error = error
            raise
        finally:
            self._stopping.set()
            self._damp_out()
            self._refuse_pending()

    def _cycle(self) -> None:
        clock = self._clock
        period_s = 1.0 / self.config.rate_hz
        # While samples come, they set the pace, and half a period of grace keeps it that way.
        deadline_s = self._last_tick_s + period_s * (1.5 if self._fed else 1.0)
        fresh = self._link.wait_state(max(deadline_s - clock(), 0.0))
        early_s = self._last_tick_s + 0.5 * period_s - clock()
        if early_s > 0.0:
            # A burst after a delay: one answer to the newest of it.
            time.sleep(early_s)
            fresh = self._link.wait_state(0.0) or fresh
        if fresh is not None:
            self._state = fresh
        state = self._state
        now_s = clock()
        self._between_ticks(now_s)
        command = self.controller.tick(now_s, state)
        if command is not None:
            self._send(command, now_s)
        end_s = clock()
        self._account(now_s, end_s, fresh)
        if self.black_box is not None:
            self.black_box.record(now_s, state, self.controller)
        if self._ticks % self.STATUS_EVERY == 0:
            self._publish(now_s, state)
            if self._beat is not None:
                self._beat(command is not None)
        self._ticks += 1

    def _send(self, command: JointCommand, now_s: float) -> None:
        """Write a command; a link that refuses for a moment is counted, for longer is an error."""
        try:
            self._link.write(command)
            self._written_s = now_s
        except (OSError, RuntimeError):
            self.timing.write_errors += 1
            if now_s - self._written_s > self.config.write_error_max_s:
                raise

    def _between_ticks(self, now_s: float) -> None:
        while self._requests:
            request, answer = self._requests.popleft()
            reply = self.controller.request(request, now_s)
            if answer.set_running_or_notify_cancel():
                answer.set_result(reply)
        if self._configs:
            self.controller.config = self._configs.popleft()
        if self._offered:
            self.controller.offer(self._offered.popleft(), now_s)

    def _account(self, now_s: float, end_s: float, fresh: RobotState | None) -> None:
        timing, walker = self.timing, self.controller.walker
        interval_s = now_s - self._last_tick_s
        timing.interval.add(interval_s)
        if interval_s > 2.0 / self.config.rate_hz:
            timing.overruns += 1
        self._fed = fresh is not None
        if fresh is None:
            timing.misses += 1
        else:
            timing.latency.add(end_s - fresh.stamp_s)
            timing.seen.count(fresh.tick)
            timing.missing = self._link.missing
        if walker.ran and walker.current is not None:
            timing.period_error.add(abs(walker.period_error_s))
            timing.inference.add(walker.current.inference_s)
            walker.ran = False
        self._last_tick_s = now_s

    def _publish(self, now_s: float, state: RobotState | None) -> None:
        controller = self.controller
        runner = controller.walker.current
        vx, vy, wz = controller.velocity.tolist()
        walking = controller.mode is Mode.WALK and runner is not None
        loop = runner.loop if walking and runner is not None else None
        self.status = Status(
            time_s=now_s,
            mode=controller.mode,
            armed=controller.machine.armed,
            fault=controller.machine.fault,
            warnings=tuple(controller.faults),
            state=state,
            policy='' if runner is None else runner.digest,
            on_probation=walking and controller.walker.on_probation,
            velocity=(vx, vy, wz),
            command_stale=controller.command_stale,
            estimated=None if loop is None else tuple(loop.velocity.tolist()),
            added=None if loop is None else tuple(loop.added.tolist()),
        )

    def _damp_out(self) -> None:
        if not self.controller.machine.armed:
            return
        command = damping_command(self.controller.config.damping_kd)
        period_s = 1.0 / self.config.rate_hz
        next_s = self._clock()
        end_s = next_s + self.config.exit_damping_s
        while next_s < end_s:
            try:
                self._link.write(command)
            except (OSError, RuntimeError):
                self.timing.write_errors += 1
            if self._beat is not None:
                self._beat(True)
            next_s += period_s
            time.sleep(max(next_s - self._clock(), 0.0))

    def _refuse_pending(self) -> None:
        while self._requests:
            _, answer = self._requests.popleft()
            answer.set_result(Reply(False, 'the control loop has ended; restart the controller'))

    def _watch(self) -> None:
        """Look for other writers on rt/lowcmd; discovery is too slow for the loop itself."""
        inputs = self.controller.inputs
        search_end_s = time.monotonic() + self.config.search_s
        while not self._stopping.wait(self.config.watch_period_s):
            found = self._foreign_writers()
            if found or time.monotonic() > search_end_s:
                inputs.foreign_writers = found

    def _foreign_writers(self) -> tuple[str, ...]:
        try:
            return tuple(self._link.lowcmd_writers())
        except Exception as error:
            # Not knowing is as bad as knowing of one.
            return (f'unknown, the search of the bus failed: {error}',)
