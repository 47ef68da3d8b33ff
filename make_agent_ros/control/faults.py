"""What can go wrong, how hard the controller reacts, and what the operator should do about it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Reaction(enum.IntEnum):
    """The ladder of reactions; of several faults the more severe one wins."""

    WARN = 1
    """Diagnostics only."""
    STAND = 2
    """Leave WALK for STAND; not latched."""
    LIE_DOWN = 3
    """Lie down under control, then damp; latched."""
    DAMP = 4
    """Damping from this tick on; latched."""


class FaultCode(enum.Enum):
    """One name per limit of the safety envelope."""

    NO_STATE = 'no_state'
    STATE_AGE = 'state_age'
    STATE_FROZEN = 'state_frozen'
    STATE_NOT_FINITE = 'state_not_finite'
    ATTITUDE_INVALID = 'attitude_invalid'
    TILT = 'tilt'
    JOINT_RANGE = 'joint_range'
    JOINT_JUMP = 'joint_jump'
    JOINT_VELOCITY = 'joint_velocity'
    MOTOR_TEMPERATURE = 'motor_temperature'
    BATTERY = 'battery'
    POLICY_AGE = 'policy_age'
    POLICY_NOT_FINITE = 'policy_not_finite'
    POLICY_PROBATION = 'policy_probation'
    HEARTBEAT = 'heartbeat'
    SECOND_WRITER = 'second_writer'
    INTERNAL = 'internal'


REMEDY: dict[FaultCode, str] = {
    FaultCode.NO_STATE: 'check the robot, the cable, interface and domain: make-agent doctor',
    FaultCode.STATE_AGE: 'check the network and the load of this computer: make-agent doctor',
    FaultCode.STATE_FROZEN: 'restart the robot (or simulator): its sensors repeat one sample',
    FaultCode.STATE_NOT_FINITE: 'restart the robot; look at the black box for the joint or IMU',
    FaultCode.ATTITUDE_INVALID: 'the IMU sends no unit quaternion; wait for it or restart it',
    FaultCode.TILT: 'put the robot upright on its belly, then call ~/reset',
    FaultCode.JOINT_RANGE: 'check the leg for damage and the encoder zero, then call ~/reset',
    FaultCode.JOINT_JUMP: 'encoder or joint order fault: compare legs with make-agent doctor',
    FaultCode.JOINT_VELOCITY: 'check the surface and the policy (make-agent check), then ~/reset',
    FaultCode.MOTOR_TEMPERATURE: 'let the motors cool, then call ~/reset',
    FaultCode.BATTERY: 'charge the battery, then call ~/reset',
    FaultCode.POLICY_AGE: 'lower the load of this computer or use a smaller policy',
    FaultCode.POLICY_NOT_FINITE: 'publish another policy; this one computed NaN or Inf',
    FaultCode.POLICY_PROBATION: 'publish another policy, checked with make-agent check',
    FaultCode.HEARTBEAT: 'restore the link to the operator, then call ~/reset',
    FaultCode.SECOND_WRITER: 'stop the other program on rt/lowcmd (sport mode? a second node?)',
    FaultCode.INTERNAL: 'read the traceback in the log and report it; restart the node',
}
"""What the operator can do, per fault."""


@dataclass(frozen=True)
class Fault:
    """One violated limit: which one, by what value, how hard it is answered."""

    code: FaultCode
    reaction: Reaction
    detail: str
    """Value and limit with units, e.g. `roll 1.02 rad exceeds 0.90 rad`."""

    @property
    def sentence(self) -> str:
        """The limit, the value and what to do, as one line for the log and for answers."""
        return f'{self.code.value}: {self.detail}; {REMEDY[self.code]}'


def most_severe(faults: Sequence[Fault]) -> Fault | None:
    """Return the fault with the hardest reaction, the first of equals, or None."""
    return max(faults, key=lambda fault: fault.reaction, default=None)
