"""Parameters of the controller node, and what the pure controller makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from make_agent_ros.control.admission import AdmissionConfig
from make_agent_ros.control.controller import ControllerConfig, Velocity
from make_agent_ros.control.loop import LoopConfig
from make_agent_ros.control.safety import SafetyLimits
from make_agent_ros.control.walker import WalkConfig
from make_agent_ros.nodes.parameters import ParameterError, group, param
from make_agent_ros.policy.signing import public_key_hex


@dataclass(frozen=True)
class ControllerNodeConfig:
    """Everything that can be set on the controller node."""

    robot: str = param(
        'sim',
        'sim: arm as soon as the robot is heard. go2: wait for ~/arm, which first releases '
        "Unitree's own controller.",
        choices=('sim', 'go2'),
    )
    interface: str = param('lo', 'Network interface of the robot link.')
    domain: int = param(1, 'DDS domain of the robot link: 1 simulator, 0 robot.', 0, 232)
    dry_run: bool = param(True, 'Check, compute and publish, but send nothing to the motors.')
    policy: str = param('', 'Policy loaded at start (.onnx, with .yaml beside it if foreign).')
    require_check: bool = param(False, 'Admit only policies that passed make-agent check.')
    trusted_keys: list[str] = param(
        [], 'ed25519 public keys; when set, only policies signed by one of them are admitted.'
    )
    action_limit_rad: float = param(
        2.0, 'Largest joint offset that a policy may ask for when it is tried.', 0.1, 5.0,
        unit='rad',
    )  # fmt: skip
    velocity_min: list[float] = param(
        [-0.6, -0.4, -1.0],
        'Lowest command passed to a policy: vx, vy, wz.',
        unit='m/s, rad/s',
        dynamic=True,
    )
    velocity_max: list[float] = param(
        [1.2, 0.4, 1.0],
        'Highest command passed to a policy: vx, vy, wz.',
        unit='m/s, rad/s',
        dynamic=True,
    )
    acceleration_max: list[float] = param(
        [2.0, 2.0, 4.0],
        'How fast the command may change: vx, vy, wz.',
        unit='m/s^2, rad/s^2',
        dynamic=True,
    )
    use_default_command: bool = param(
        False,
        "Walk at the policy's own default velocity until the first /cmd_vel arrives.",
        dynamic=True,
    )
    remote_velocity: bool = param(
        True,
        "Let the sticks of Unitree's remote set the velocity while they are moved.",
        dynamic=True,
    )
    velocity_loop: bool = param(
        True,
        'Correct the command by the velocity that the legs tell, for policies that ask for it.',
    )
    stand_up_s: float = param(
        1.2, 'Time for each of the two stages of standing up.', 0.5, 5.0, unit='s'
    )
    lie_down_s: float = param(1.5, 'Time for lying down.', 0.5, 5.0, unit='s')
    damping_kd: float = param(
        3.0, 'Velocity gain of damping.', 0.5, 8.0, unit='N m s/rad'
    )  # fmt: skip
    rate_hz: float = param(500.0, 'Rate of LowCmd when no sample sets it.', 200.0, 1000.0)
    realtime_priority: int = param(40, 'SCHED_FIFO priority of the loop; 0: none.', 0, 98)
    publish_rate_hz: float = param(
        50.0, 'Rate of /joint_states and /imu/data.', 1.0, 200.0, unit='Hz'
    )
    black_box_dir: str = param('~/.ros/make_agent/black_box', 'Where black boxes are written.')
    black_box_s: float = param(30.0, 'Seconds kept in the black box.', 5.0, 120.0, unit='s')
    release_timeout_s: float = param(
        30.0, "How long to try to release Unitree's own controller.", 1.0, 120.0, unit='s'
    )
    guard_timeout_s: float = param(
        0.25,
        'Silence after which a second process damps the robot in place of this one; 0: no guard.',
        0.0, 2.0, unit='s',
    )  # fmt: skip
    limits: SafetyLimits = group(SafetyLimits)
    walk: WalkConfig = group(WalkConfig)

    def __post_init__(self) -> None:
        """Refuse vectors that are not three numbers, low to high, and keys that are none.

        Raises:
            ParameterError: naming the parameter.
        """
        for name in ('velocity_min', 'velocity_max', 'acceleration_max'):
            values = getattr(self, name)
            if len(values) != 3:
                raise ParameterError(f'parameter {name} = {values}; give vx, vy and wz')
        if not all(value > 0.0 for value in self.acceleration_max):
            raise ParameterError(
                f'parameter acceleration_max = {self.acceleration_max}; each must be positive, '
                'or the robot would never follow a command'
            )
        try:
            for key in self.trusted_keys:
                public_key_hex(key)
        except ValueError as error:
            raise ParameterError(f'parameter trusted_keys: {error}') from error
        for low, high in zip(self.velocity_min, self.velocity_max, strict=True):
            if not low <= 0.0 <= high:
                raise ParameterError(
                    f'velocity_min {self.velocity_min} and velocity_max {self.velocity_max} must '
                    'enclose zero'
                )

    def changed(self, name: str, value: Any) -> ControllerNodeConfig:
        """Return the configuration with one live parameter changed.

        Raises:
            ParameterError: the whole would make no sense.
        """
        changed = list(value) if isinstance(getattr(self, name), list) else value
        return replace(self, **{name: changed})

    def controller(self) -> ControllerConfig:
        """Return the configuration of the pure controller."""
        return ControllerConfig(
            limits=self.limits,
            walk=self.walk,
            stand_up_s=self.stand_up_s,
            lie_down_s=self.lie_down_s,
            velocity_min=_velocity(self.velocity_min),
            velocity_max=_velocity(self.velocity_max),
            acceleration_max=_velocity(self.acceleration_max),
            use_default_command=self.use_default_command,
            damping_kd=self.damping_kd,
            dry_run=self.dry_run,
            remote_velocity=self.remote_velocity,
        )

    def loop(self) -> LoopConfig:
        """Return the configuration of the loop."""
        return LoopConfig(rate_hz=self.rate_hz, realtime_priority=self.realtime_priority)

    def admission(self) -> AdmissionConfig:
        """Return what policies must have."""
        return AdmissionConfig(
            require_check=self.require_check,
            trusted_keys=tuple(self.trusted_keys),
            action_limit_rad=self.action_limit_rad,
            velocity_loop=self.velocity_loop,
        )


def _velocity(values: list[float]) -> Velocity:
    vx, vy, wz = values
    return vx, vy, wz
