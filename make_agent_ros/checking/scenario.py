"""Scenarios: what varies in a world, what is asked of the robot, what counts as passing.

A scenario is a set of ranges; `trials` draws robots from them. The Isaac Gym runner imports this
file in Python 3.8.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Range = tuple[float, float]

BOUNDS = {
    'friction': (0.01, 10.0),
    'payload_kg': (-5.0, 50.0),
    'payload_shift_m': (-0.3, 0.3),
    'motor_strength': (0.0, 10.0),
    'stiffness_factor': (0.0, 10.0),
    'damping_factor': (0.0, 10.0),
    'weak_joint': (0.0, 10.0),
    'drive_friction': (0.0, 10.0),
    'rotor_factor': (0.5, 10.0),
    'latency_s': (0.0, 0.5),
    'noise': (0.0, 100.0),
    'bias': (0.0, 100.0),
    'push_m_s': (0.0, 10.0),
    'obstacle_m': (0.0, 0.5),
    'slope_deg': (0.0, 45.0),
}
"""What a range may hold at most: beyond it the physics means nothing (the trunk weighs 6.9 kg)."""
KINDS = {'int': 'a whole number', 'float': 'a number', 'bool': 'true or false'}
STARTS = ('standing', 'wrong_pose', 'lying')
JUDGED = (
    'falls', 'velocity_rmse_m_s', 'yaw_rmse_rad_s', 'torque_saturation', 'joint_limit',
    'cost_of_transport', 'action_roughness', 'recovery_s', 'frequency_rel', 'phase_cycles', 'duty',
    'height_m', 'swing_m', 'pitch_rad',
)  # fmt: skip
"""Figures that can have a limit."""
CONFIG_FILE = 'config/check.yaml'
TERRAIN_FILE = 'sim/terrains/terrains.yaml'


class ScenarioError(ValueError):
    """A check configuration that cannot be used; the message names entry, value and remedy."""


@dataclass(frozen=True)
class Limit:
    """A figure above `warn` is a warning, above `fail` a failure."""

    warn: float
    fail: float


@dataclass(frozen=True)
class Scenario:
    """One kind of world. Ranges are (low, high), drawn uniformly per trial."""

    name: str
    title: str
    """What happens, in a few words, for the report."""
    trials: int = 16
    seconds: float = 6.0
    friction: Range = (0.8, 0.8)
    """Sliding friction of the feet on the ground."""
    payload_kg: Range = (0.0, 0.0)
    """Mass added to the trunk."""
    payload_shift_m: Range = (0.0, 0.0)
    """Shift of the trunk's centre of mass, along x and y each."""
    motor_strength: Range = (1.0, 1.0)
    """Factor on every motor's torque and on its limit."""
    stiffness_factor: Range = (1.0, 1.0)
    damping_factor: Range = (1.0, 1.0)
    weak_joint: Range = (1.0, 1.0)
    """Factor on the torque of one joint, drawn per trial."""
    drive_friction: Range = (0.0, 0.0)
    """Dry friction in the drives on top of the model's, as a share of what was identified on a
    Go2, `DRIVE_FRICTION_NM`."""
    rotor_factor: Range = (1.0, 1.0)
    """Factor on the inertia of the rotors as the joints feel it."""
    latency_s: Range = (0.0, 0.0)
    """From the policy's output to the motors."""
    noise: Range = (1.0, 1.0)
    """Sensor noise, in units of the usual noise."""
    bias: Range = (0.0, 0.0)
    """Constant sensor offsets per trial, in units of the usual noise."""
    push_m_s: Range = (0.0, 0.0)
    """Velocity kick; trial i is pushed in direction i of eight."""
    push_at_s: float = 3.0
    terrain: str = 'flat'
    """A name in `sim/terrains/terrains.yaml`."""
    obstacle_m: Range = (0.0, 0.0)
    slope_deg: Range = (0.0, 0.0)
    start: str = 'standing'
    """`standing`, `wrong_pose` (off by up to 0.3 rad, tilted, dropped) or `lying`."""
    commands: tuple[tuple[float, ...], ...] = ()
    """(from second, vx, vy, wz) in order; the policy's default command when empty."""
    style: bool = True
    """Whether the gait is held against the prompt's; not where the command keeps changing."""
    advisory: bool = False
    """Beyond what a policy must master: a failure here is reported as a warning."""
    limits: Mapping[str, Limit] = field(default_factory=dict)
    """Figure -> limit."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ScenarioError: naming the scenario, the entry and what is expected.
        """
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.type == 'Range':
                least, most = BOUNDS[entry.name]
                if not _is_range(value) or value[0] < least or value[1] > most:
                    raise ScenarioError(
                        f'{self.name}: {entry.name} = {value!r}; expected [low, high] within '
                        f'{least:g} to {most:g}'
                    )
                object.__setattr__(self, entry.name, (float(value[0]), float(value[1])))
            elif entry.type in ('int', 'float', 'bool') and not _is_a(value, entry.type):
                raise ScenarioError(
                    f'{self.name}: {entry.name} = {value!r}; expected {KINDS[entry.type]}'
                )
        if self.start not in STARTS:
            raise ScenarioError(f'{self.name}: start {self.start!r}; known: {", ".join(STARTS)}')
        if not 1 <= self.trials <= 100_000 or not 2.0 <= self.seconds <= 120.0:
            raise ScenarioError(
                f'{self.name}: {self.trials} trials of {self.seconds} s; use 1 or more of 2-120 s'
            )
        if max(self.push_m_s) > 0.0 and not 0.0 <= self.push_at_s <= self.seconds - 0.5:
            raise ScenarioError(
                f'{self.name}: push_at_s = {self.push_at_s} in a walk of {self.seconds} s; leave '
                'half a second to recover'
            )
        for row in self.commands:
            if len(row) != 4:
                raise ScenarioError(f'{self.name}: command {row}; expected [second, vx, vy, wz]')

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


def _is_a(value: Any, kind: str) -> bool:
    if kind == 'bool' or isinstance(value, bool):
        return kind == 'bool' and isinstance(value, bool)
    return isinstance(value, int) or (kind == 'float' and isinstance(value, float))


def _is_range(value: Any) -> bool:
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError):
        return False
    return bool(np.isfinite([low, high]).all()) and low <= high


def scenario_from_dict(
    name: str, entry: Mapping[str, Any], limits: Mapping[str, Limit]
) -> Scenario:
    """Build a scenario from configuration.

    Args:
        name: of the scenario.
        entry: its fields; `limits` inside overrides the defaults per figure.
        limits: the defaults.

    Raises:
        ScenarioError: an unknown field, or a value that makes no sense.
    """
    if not isinstance(entry, Mapping):
        raise ScenarioError(f'{name}: {entry!r}; expected a mapping of fields, or nothing')
    known = {f.name for f in fields(Scenario)}
    unknown = sorted(set(entry) - known)
    if unknown:
        raise ScenarioError(
            f'{name}: unknown entries {", ".join(unknown)}; known: {", ".join(sorted(known))}'
        )
    own = read_limits(name, entry.get('limits'))
    values = dict(entry, name=name, limits={**limits, **own})
    values.setdefault('title', name)
    try:
        rows = tuple(tuple(float(x) for x in row) for row in entry.get('commands', ()))
    except (TypeError, ValueError) as error:
        raise ScenarioError(
            f'{name}: commands {entry["commands"]!r}; expected rows of [second, vx, vy, wz]'
        ) from error
    return Scenario(**{**values, 'commands': rows})


def read_limits(where: str, entry: Any) -> dict[str, Limit]:
    """Read `limits` of a file or of one scenario.

    Raises:
        ScenarioError: no mapping, a figure that nobody measures, or no pair of numbers.
    """
    entry = entry or {}
    if not isinstance(entry, Mapping):
        raise ScenarioError(f'{where}: limits = {entry!r}; expected figure: [warn, fail]')
    unknown = sorted(set(map(str, entry)) - set(JUDGED))
    if unknown:
        raise ScenarioError(
            f'{where}: limits of {", ".join(unknown)}; figures are {", ".join(JUDGED)}'
        )
    return {name: _limit(where, name, value) for name, value in entry.items()}


def _limit(scenario: str, name: str, value: Any) -> Limit:
    if isinstance(value, Mapping):
        value = (value.get('warn'), value.get('fail'))
    if not _is_range(value):
        raise ScenarioError(
            f'{scenario}: limit {name} = {value!r}; expected [warn, fail] with warn <= fail'
        )
    return Limit(float(value[0]), float(value[1]))


@dataclass(frozen=True)
class CheckConfig:
    """All scenarios with the terrains they use."""

    scenarios: tuple[Scenario, ...]
    terrains: Mapping[str, Mapping[str, Any]]
    seed: int = 0

    def __getitem__(self, name: str) -> Scenario:
        """Return a scenario by name.

        Raises:
            ScenarioError: no such scenario; the message lists those there are.
        """
        for scenario in self.scenarios:
            if scenario.name == name:
                return scenario
        names = ', '.join(s.name for s in self.scenarios)
        raise ScenarioError(f'no scenario {name!r}; there are {names}')

    def to_json(self) -> str:
        """Return the configuration for another process."""
        return json.dumps(
            {
                'seed': self.seed,
                'terrains': {k: dict(v) for k, v in self.terrains.items()},
                'scenarios': [s.to_dict() for s in self.scenarios],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> CheckConfig:
        """Read what `to_json` wrote."""
        data = json.loads(text)
        scenarios = []
        for entry in data['scenarios']:
            limits = {k: Limit(v['warn'], v['fail']) for k, v in entry.pop('limits').items()}
            scenarios.append(scenario_from_dict(entry.pop('name'), entry, limits))
        return cls(tuple(scenarios), data['terrains'], int(data['seed']))


def load_config(path: Path | None = None, terrains: Path | None = None) -> CheckConfig:
    """Read `config/check.yaml`, or a file of the same form.

    Raises:
        ScenarioError: not YAML, or an entry that cannot be used.
    """
    import yaml

    from make_agent_ros.resources import resource_path

    path = path or resource_path(CONFIG_FILE)
    terrains = terrains or resource_path(TERRAIN_FILE)
    try:
        data = yaml.safe_load(path.read_text())
        grounds = yaml.safe_load(terrains.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f'{path}: {error}') from error
    if not isinstance(data, dict) or not isinstance(data.get('scenarios'), dict):
        raise ScenarioError(f'{path}: expected a mapping with `limits` and `scenarios`')
    limits = read_limits(str(path), data.get('limits'))
    defaults, seed = data.get('defaults') or {}, data.get('seed', 0)
    if not isinstance(defaults, dict) or not _is_a(seed, 'int') or seed < 0:
        raise ScenarioError(
            f'{path}: defaults {defaults!r}, seed {seed!r}; expected a mapping of fields, and a '
            'whole number from 0'
        )
    if not data['scenarios']:
        raise ScenarioError(f'{path}: no scenarios, so nothing to check')
    scenarios = tuple(
        scenario_from_dict(str(name), {**defaults, **entry} if isinstance(entry, dict) else
                           (defaults if entry is None else entry), limits)
        for name, entry in data['scenarios'].items()
    )  # fmt: skip
    for scenario in scenarios:
        if scenario.terrain not in grounds:
            raise ScenarioError(
                f'{scenario.name}: terrain {scenario.terrain!r}; known: {", ".join(grounds)}'
            )
    return CheckConfig(scenarios, grounds, seed)
