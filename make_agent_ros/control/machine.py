"""The modes of the controller and the moves between them: pure, no clock of its own.

    PASSIVE --arm--> DAMPING --stand_up--> STAND_UP --> STAND --walk--> WALK
       ^                |  ^                   |          |               |
       +----disarm------+  +------- LIE_DOWN <-+----------+---lie_down----+
                           +------------- stop, from every mode

A fault with reaction STAND ends WALK, one with DAMP goes to FAULT from every armed mode, one with
LIE_DOWN first lies down. A latched fault leaves only by `reset`, once its cause is gone.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from make_agent_ros.control.faults import Fault, Reaction, most_severe

MIN_DAMPING_S = 0.5
"""Damping is sent at least this long before motors may be left alone, s."""


class Mode(enum.Enum):
    """What the controller does with the motors."""

    PASSIVE = 'PASSIVE'
    """Disarmed: nothing is sent."""
    DAMPING = 'DAMPING'
    """kp 0, kd > 0: the robot sinks and stays down."""
    STAND_UP = 'STAND_UP'
    STAND = 'STAND'
    WALK = 'WALK'
    LIE_DOWN = 'LIE_DOWN'
    FAULT = 'FAULT'
    """Damping, latched until reset."""


MOVING = frozenset({Mode.STAND_UP, Mode.STAND, Mode.WALK, Mode.LIE_DOWN})
"""Modes in which motors hold or move joints."""


class Request(enum.Enum):
    """What an operator may ask for."""

    ARM = 'arm'
    DISARM = 'disarm'
    STAND_UP = 'stand_up'
    WALK = 'walk'
    LIE_DOWN = 'lie_down'
    STOP = 'stop'
    RESET = 'reset'


@dataclass(frozen=True)
class Reply:
    """The answer to a request: accepted or not, and one sentence that says why."""

    accepted: bool
    sentence: str


@dataclass(frozen=True)
class Readiness:
    """What the machine needs to know to answer a request."""

    blockers: tuple[Fault, ...] = ()
    """Limits violated right now whose reaction would be latched, whatever the mode."""
    stand_blocker: str = ''
    """Why the robot cannot stand up from here (tilt, battery); empty when it can."""
    has_policy: bool = False
    dry_run: bool = False
    bus_searched: bool = True
    """Whether other writers on rt/lowcmd would be known by now."""


class StateMachine:
    """Holds the mode, the armed flag and the latched fault."""

    def __init__(self) -> None:
        self.mode = Mode.PASSIVE
        self.armed = False
        self.fault: Fault | None = None
        self.since_s = 0.0
        """When the mode was entered."""

    def _enter(self, mode: Mode, now_s: float) -> None:
        if mode is not self.mode:
            self.mode, self.since_s = mode, now_s

    def step(self, now_s: float, faults: Sequence[Fault], motion_done: bool) -> Mode:
        """Advance by one tick.

        Args:
            now_s: monotonic time, s.
            faults: limits violated at this tick.
            motion_done: whether the stand-up or lie-down trajectory has ended.

        Returns:
            The mode whose command belongs to this tick.
        """
        before, worst = self.mode, most_severe(faults)
        if self.armed and worst is not None:
            self._react(now_s, worst)
        if not motion_done or self.mode is not before:
            return self.mode
        if self.mode is Mode.STAND_UP:
            self._enter(Mode.STAND, now_s)
        elif self.mode is Mode.LIE_DOWN:
            self._enter(Mode.DAMPING if self.fault is None else Mode.FAULT, now_s)
        return self.mode

    def _react(self, now_s: float, fault: Fault) -> None:
        if fault.reaction is Reaction.STAND and self.mode is Mode.WALK:
            self._enter(Mode.STAND, now_s)
        if fault.reaction < Reaction.LIE_DOWN:
            return
        if self.fault is None or fault.reaction > self.fault.reaction:
            self.fault = fault
        can_lie_down = self.mode in MOVING and self.fault.reaction is Reaction.LIE_DOWN
        self._enter(Mode.LIE_DOWN if can_lie_down else Mode.FAULT, now_s)

    def request(self, request: Request, now_s: float, ready: Readiness) -> Reply:
        """Answer one request; a refusal changes nothing."""
        handlers: dict[Request, Callable[[float, Readiness], Reply]] = {
            Request.ARM: self._arm,
            Request.DISARM: self._disarm,
            Request.STAND_UP: self._stand_up,
            Request.WALK: self._walk,
            Request.LIE_DOWN: self._lie_down,
            Request.STOP: self._stop,
            Request.RESET: self._reset,
        }
        return handlers[request](now_s, ready)

    def _arm(self, now_s: float, ready: Readiness) -> Reply:
        if self.fault is not None:
            return self._refuse_latched()
        if self.armed:
            return Reply(True, f'already armed, in {self.mode.value}')
        if ready.dry_run:
            return Reply(False, 'dry run: start the controller with dry_run:=false to arm it')
        if ready.blockers:
            return Reply(False, f'not armed: {ready.blockers[0].sentence}')
        if not ready.bus_searched:
            return Reply(
                False, 'not armed: still looking for other writers on rt/lowcmd; ask again in 1 s'
            )
        self.armed = True
        self._enter(Mode.DAMPING, now_s)
        return Reply(True, 'armed: damping is sent; stop is ~/stop')

    def _disarm(self, now_s: float, ready: Readiness) -> Reply:
        if not self.armed:
            return Reply(True, 'already disarmed: nothing is sent')
        if self.mode in MOVING:
            return Reply(
                False, f'still armed, in {self.mode.value}; call ~/lie_down or ~/stop first'
            )
        if now_s - self.since_s < MIN_DAMPING_S:
            return Reply(
                False, f'still armed: damping for {MIN_DAMPING_S} s first; ask again in a moment'
            )
        self.armed = False
        if self.mode is Mode.DAMPING:
            self._enter(Mode.PASSIVE, now_s)
        return Reply(True, 'disarmed: nothing is sent any more')

    def _stand_up(self, now_s: float, ready: Readiness) -> Reply:
        if self.fault is not None:
            return self._refuse_latched()
        if self.mode is Mode.PASSIVE:
            return Reply(False, 'not armed; call ~/arm first')
        if self.mode in (Mode.STAND_UP, Mode.STAND):
            return Reply(True, f'already in {self.mode.value}')
        if self.mode is Mode.WALK:
            self._enter(Mode.STAND, now_s)
            return Reply(True, 'standing still')
        if self.mode is Mode.LIE_DOWN:
            return Reply(False, 'the robot is lying down; ask again when it is in DAMPING')
        if ready.stand_blocker:
            return Reply(False, ready.stand_blocker)
        self._enter(Mode.STAND_UP, now_s)
        return Reply(True, 'standing up')

    def _walk(self, now_s: float, ready: Readiness) -> Reply:
        if self.fault is not None:
            return self._refuse_latched()
        if self.mode is Mode.WALK:
            return Reply(True, 'already walking')
        if self.mode is not Mode.STAND:
            return Reply(
                False,
                f'walking starts from STAND, the robot is in {self.mode.value}; call ~/stand_up '
                'and wait until ~/state says STAND',
            )
        if not ready.has_policy:
            return Reply(False, 'no policy yet: publish one on /policy or set parameter policy')
        self._enter(Mode.WALK, now_s)
        return Reply(True, 'walking; velocity comes from /cmd_vel')

    def _lie_down(self, now_s: float, ready: Readiness) -> Reply:
        if self.mode in (Mode.STAND_UP, Mode.STAND, Mode.WALK):
            self._enter(Mode.LIE_DOWN, now_s)
            return Reply(True, 'lying down, then damping')
        return Reply(True, f'nothing to do in {self.mode.value}')

    def _stop(self, now_s: float, ready: Readiness) -> Reply:
        if not self.armed:
            return Reply(True, 'not armed: nothing is sent')
        if self.fault is not None:
            self._enter(Mode.FAULT, now_s)
            return Reply(True, f'damping; latched fault {self.fault.code.value}')
        self._enter(Mode.DAMPING, now_s)
        return Reply(True, 'damping')

    def _reset(self, now_s: float, ready: Readiness) -> Reply:
        if self.fault is None:
            return Reply(True, 'no fault is latched')
        if self.mode is not Mode.FAULT:
            return Reply(False, f'the robot is still in {self.mode.value}; wait, or call ~/stop')
        if ready.blockers:
            return Reply(False, f'the cause is still there: {ready.blockers[0].sentence}')
        cleared = self.fault
        self.fault = None
        self._enter(Mode.DAMPING if self.armed else Mode.PASSIVE, now_s)
        return Reply(True, f'fault {cleared.code.value} cleared; now in {self.mode.value}')

    def _refuse_latched(self) -> Reply:
        sentence = '' if self.fault is None else self.fault.sentence
        return Reply(False, f'refused, a fault is latched ({sentence}); call ~/reset when cured')
