"""Runs a simulated robot in real time behind the DDS link, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from make_agent_ros.go2.link import ArrivalReport, SimulatedRobotLink
from make_agent_ros.simulation.robot import SimulatedRobot

MAX_DEBT_S = 0.1
"""A loop that is further behind than this gives the time up instead of racing after it."""
RATE_WINDOW_S = 2.0
"""The real-time factor is taken over this much wall time."""


@dataclass(frozen=True)
class SimulationReport:
    """How the simulator itself is doing, since the last `reset_figures`."""

    steps: int
    real_time_factor: float
    """Simulated time over wall time, over the last two seconds."""
    late_s_max: float
    """Worst lateness of a step."""
    overruns: int
    """Steps that began a whole period late or more."""
    time_given_up_s: float
    """Wall time that the simulation could not catch up with."""
    commands: int
    bad_commands: int
    command_age_s: float
    """Time since the last LowCmd arrived; inf before the first."""
    wire: ArrivalReport | None
    """Arrivals of LowCmd; None before the second."""


class RealTimeRobot:
    """A simulated robot on the wire: paced by absolute deadlines, LowState at 500 Hz."""

    def __init__(
        self, robot: SimulatedRobot, link: SimulatedRobotLink, real_time_factor: float = 1.0
    ) -> None:
        """Prepare; `start` begins.

        Args:
            robot: stepped by this object's thread; others touch it only under `lock`.
            link: where LowState goes and LowCmd comes from; closed by `stop`.
            real_time_factor: speed of simulated time; 1 is real time.
        """
        if not real_time_factor > 0.0:
            raise ValueError(f'real_time_factor is {real_time_factor}; it must be above 0')
        self.robot = robot
        self.link = link
        self.lock = threading.Lock()
        """Held while the robot is stepped; hold it to read or change the robot."""
        self.error: BaseException | None = None
        """What ended the thread, when it was not `stop`."""
        self._period_s = robot.model.opt.timestep / real_time_factor
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name='simulation', daemon=True)
        # (wall time, steps) now and then, for the rate over a window.
        self._marks: deque[tuple[float, int]] = deque()
        self._steps = 0
        self.reset_figures()

    def start(self) -> None:
        """Begin to step and to publish."""
        self._thread.start()

    def stop(self) -> None:
        """Stop stepping and leave the DDS domain."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        self.link.close()

    def __enter__(self) -> RealTimeRobot:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the thread steps the robot."""
        return self._thread.is_alive()

    @property
    def simulated_s(self) -> float:
        """Simulated time since the start; a reset of the robot does not set it back."""
        return self._steps * float(self.robot.model.opt.timestep)

    def do(self, action: Callable[[SimulatedRobot], None]) -> None:
        """Run `action(robot)` between two steps."""
        with self.lock:
            action(self.robot)

    def reset_figures(self) -> None:
        """Begin counting anew."""
        self._late_s_max = 0.0
        self._overruns = 0
        self._given_up_s = 0.0
        self.link.arrivals.reset()

    def report(self) -> SimulationReport:
        """Return the figures."""
        marks = list(self._marks)
        rate = 0.0
        if len(marks) > 1:
            (t0, n0), (t1, n1) = marks[0], marks[-1]
            rate = (n1 - n0) * self.robot.model.opt.timestep / (t1 - t0)
        return SimulationReport(
            steps=self._steps,
            real_time_factor=rate,
            late_s_max=self._late_s_max,
            overruns=self._overruns,
            time_given_up_s=self._given_up_s,
            commands=self.robot.commands,
            bad_commands=self.robot.bad_commands,
            command_age_s=time.monotonic() - self.link.last_arrival_s,
            wire=self.link.arrivals.report(),
        )

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException as error:  # the owner must learn about anything that ends physics
            self.error = error

    def _loop(self) -> None:
        period_s, link, robot = self._period_s, self.link, self.robot
        deadline = time.monotonic()
        mark_every = max(1, round(0.1 / period_s))
        while not self._stop.is_set():
            command = link.take_command()
            with self.lock:
                samples = robot.step(command)
            for sample in samples:
                link.write_state(sample)
            self._steps += 1
            deadline += period_s
            now = time.monotonic()
            if self._steps % mark_every == 0:
                self._mark(now)
            late = now - deadline
            if late < 0.0:
                time.sleep(-late)
                continue
            self._late_s_max = max(self._late_s_max, late)
            self._overruns += late >= period_s
            if late > MAX_DEBT_S:
                self._given_up_s += late
                deadline = now

    def _mark(self, now: float) -> None:
        self._marks.append((now, self._steps))
        while len(self._marks) > 2 and now - self._marks[0][0] > RATE_WINDOW_S:
            self._marks.popleft()
