"""Prompts from outside: controllers that no policy here learned from, in other physics.

A script without a network and a teacher of another seed (`training.strangers`) walk styles that
lie in no set of the split, in two worlds that nothing was trained in: a Go2 that other people
modelled and measured (MuJoCo Menagerie), and PhysX. What stays up, moves, lifts every foot, keeps
time, and passes the checks that every recording of a user passes, is a prompt: a foot that drags
has no phase to be compared. Neither controller follows well what it is told, so style and velocity
of a prompt are those that the simulator saw, not those that were asked for; and these must lie in
the space that the split draws from, for it is the controller and the physics that are foreign.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from make_agent_ros.checking.check import make_engine
from make_agent_ros.checking.episode import FALL_HEIGHT_M
from make_agent_ros.checking.ranking import GOOD
from make_agent_ros.checking.scenario import Scenario, load_config
from make_agent_ros.checking.trials import Trials, draw_trials, trial_seeds
from make_agent_ros.generator.embedding import RATE_HZ
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.doubts import examine
from make_agent_ros.recording.familiar import shipped_walks
from make_agent_ros.recording.gait import Gait, describe_gait, level_feet
from make_agent_ros.training.behaviour import (
    COMMAND_HIGH,
    COMMAND_LOW,
    DUTY_RANGE,
    RANGES,
    SHOWN_STRIDE_M,
    SWING_HEIGHT_RANGE_M,
    BehaviourSet,
    Styles,
    feasible,
    moving,
    sample_styles,
    shown_commands,
)
from make_agent_ros.training.held_out import HeldOut, QualityConfig
from make_agent_ros.training.prompts import SETTLE_S
from make_agent_ros.training.scripted import Script
from make_agent_ros.training.split import Split, feasible_style
from make_agent_ros.training.strangers import START_S, OtherTeacher, Stranger, stranger_episode
from make_agent_ros.training.walks import Walks

ENGINES = ('menagerie', 'physx')
CONTROLLERS = ('script', 'other_seed')
SOURCES = tuple((controller, engine) for controller in CONTROLLERS for engine in ENGINES)
"""Every controller shows as many prompts in every engine, as far as they can be divided."""
OUTSIDE = Scenario(
    'foreign',
    'Other controllers on level ground',
    friction=(0.6, 1.25),
    payload_kg=(-1.0, 2.0),
    motor_strength=(0.9, 1.1),
    latency_s=(0.0, 0.010),
)
"""What varies from walk to walk. The script falls on ice; a prompt is to show a style."""
GAINS = (0.3, 1.0)
"""Factors on the gains of the script's balance: no two robots have the same controller."""
TRIM_RATE = 1.0
"""1/s, of the script: see `Script`."""
HIGHER_M = 0.03
"""Swing height that the script adds to what the style says: the trunk gives way under it."""
LIFTED_M = 0.02
"""Truth, above where it stands: a foot that is lifted less is not stepping. Styles lift 0.03 m."""
LONGEST_CONTACT = 0.85
"""Share of time that a stepping foot touches the ground, at most."""
BATCH = 48
"""Walks tried at once in one engine."""
TRIES = 64
"""Batches in which a source has to give its share of the prompts."""
STYLE_STREAM = 71
"""Of the random numbers that styles are drawn from; the split's own sides are streams 0..4."""


class ForeignError(RuntimeError):
    """Too few walks are prompts; the message says how many of how many are."""


@dataclass(frozen=True)
class Shown:
    """Walks of one source that are worth showing, and how many were tried for them."""

    walks: Walks
    styles: Styles
    """What they truly show."""
    velocity: np.ndarray
    """True mean vx, vy m/s and turn rate rad/s over the prompt, (n, 3)."""
    tried: int


def require_engines() -> None:
    """Build one robot in each engine.

    Raises:
        BackendError: one is not installed; the message names the command of pip.
    """
    for name in ENGINES:
        make_engine(name, _trials(1, 0), 1.0 / RATE_HZ)


def foreign_styles(split: Split, n: int, draw: int) -> BehaviourSet:
    """Draw styles that the split could have trained on but did not, reproducibly.

    Args:
        split: whose region outside the withheld ones is drawn from.
        n: how many.
        draw: number of the draw; another one gives other styles.
    """
    rng = np.random.default_rng([split.seed, STYLE_STREAM, draw])
    styles = sample_styles(rng, n, allowed=split.outside)
    return BehaviourSet(styles, shown_commands(rng, styles))


def foreign_held_out(
    config: QualityConfig, split: Split, progress: Callable[[float], None] = lambda share: None
) -> HeldOut:
    """Record the prompts of the split `foreign`, as many from each of `SOURCES`.

    Args:
        config: sizes and seed.
        split: of the behaviours.
        progress: called with the share done.

    Raises:
        BackendError: Menagerie's model or SAPIEN is not installed.
        ForeignError: too few walks are prompts.
    """
    share, more = divmod(config.prompts, len(SOURCES))
    shown, groups = [], []
    for k, source in enumerate(SOURCES):
        if count := share + (k < more):
            shown.append(_show(source, count, config, split))
            groups += [source[0]] * count
        progress((k + 1) / len(SOURCES))
    walks = Walks.join([one.walks for one in shown])
    velocity = np.concatenate([one.velocity for one in shown])
    return HeldOut(
        behaviours=BehaviourSet(Styles.join([one.styles for one in shown]), velocity),
        commands=velocity,
        prompts=[*walks.recordings(seed=config.seed)],
        gait=gait_of(walks),
        tried=sum(one.tried for one in shown),
        groups=tuple(groups),
    )


def _show(source: tuple[str, str], count: int, config: QualityConfig, split: Split) -> Shown:
    """Try batches of walks of one controller in one engine until enough of them are prompts."""
    found: list[Shown] = []
    have = 0
    for attempt in range(TRIES):
        draw = SOURCES.index(source) + len(SOURCES) * attempt
        shown = _batch(source, foreign_styles(split, BATCH, draw), config, draw)
        found.append(shown)
        have += len(shown.walks)
        if have >= count:
            # What comes after the last one that is needed was not asked for.
            last = int(shown.walks.behaviour[count - have - 1])
            return _joined(found, count, attempt * BATCH + last + 1)
    raise ForeignError(
        f'{have} of {TRIES * BATCH} walks of {source[0]} in {source[1]} are prompts, {count} are '
        'needed; ask for fewer (--config.prompts)'
    )


def _joined(found: list[Shown], count: int, tried: int) -> Shown:
    first = slice(0, count)
    return Shown(
        Walks.join([one.walks for one in found])[first],
        Styles.join([one.styles for one in found])[first],
        np.concatenate([one.velocity for one in found])[first],
        tried,
    )


def _trials(n: int, seed: int) -> Trials:
    return draw_trials(OUTSIDE, trial_seeds(seed, n), load_config().terrains)


def _batch(
    source: tuple[str, str], behaviours: BehaviourSet, config: QualityConfig, draw: int
) -> Shown:
    """Walk one batch; keep what is a prompt, less the time at the start."""
    n, start_s = len(behaviours), START_S + SETTLE_S
    styles, command = behaviours.styles, behaviours.default_command
    robots = make_engine(source[1], _trials(n, 1000 + config.seed + draw), 1.0 / RATE_HZ)
    controller: Stranger
    if source[0] == 'script':
        rng = np.random.default_rng([config.seed, draw])
        told = replace(styles, swing_height_m=styles.swing_height_m + HIGHER_M)
        controller = Script(told, command, rng.uniform(*GAINS, n), TRIM_RATE)
    else:
        controller = OtherTeacher(styles, command)
    # Half a second more: a robot that falls right after the prompt was falling in it.
    walks = stranger_episode(robots, controller, start_s + config.prompt_s + 0.5)
    low = walks.base_position[..., 2].min(axis=1) < FALL_HEIGHT_M
    walks = walks[~low].steady(start_s)
    velocity = np.array([walks.velocity(i, 0.0, config.prompt_s) for i in range(len(walks))])
    velocity = velocity.reshape(-1, 3)
    walks = _first(walks, config.prompt_s)
    asked = styles[walks.behaviour]
    shown = shown_styles(walks, asked)
    good = stepping(walks) & in_time(shown, asked) & inside(shown, velocity)
    familiar = shipped_walks()
    # A policy stands at a velocity that moves nothing; a prompt at such a one shows no style.
    good &= moving(velocity) >= 1.0
    kept = [
        i for i, prompt in enumerate(walks.recordings(seed=config.seed))
        if good[i] and not examine(prompt, familiar).doubts
    ]  # fmt: skip
    keep = np.array(kept, dtype=int)
    return Shown(walks[keep], shown[keep], velocity[keep], n)


def _first(walks: Walks, seconds: float) -> Walks:
    """Return the beginning of walks."""
    rows = slice(round(seconds * RATE_HZ))
    return Walks(walks.behaviour, *(getattr(walks, f.name)[:, rows] for f in fields(Walks)[1:]))


def stepping(walks: Walks) -> np.ndarray:
    """Return in which of n walks every foot truly leaves the ground, bool, (n,)."""
    _, height = level_feet(walks.joint_pos, projected_gravity(walks.quat_wxyz))
    clear = height + walks.base_position[..., 2:]
    touches = walks.foot_contact
    known = touches | ~touches.any(axis=1, keepdims=True)
    stands = np.nanmedian(np.where(known, clear, np.nan), axis=1)
    lifted = np.quantile(clear, 0.95, axis=1) - stands > LIFTED_M
    return np.asarray((lifted & (touches.mean(axis=1) < LONGEST_CONTACT)).all(axis=1))


def in_time(shown: Styles, asked: Styles) -> np.ndarray:
    """Return which of n walks step as often as their controller's clock says, bool, (n,).

    One that does not staggers: every second of its steps differs, or it skips some.
    """
    return np.abs(shown.frequency_hz / asked.frequency_hz - 1.0) < GOOD['frequency_rel']


def inside(shown: Styles, velocity: np.ndarray) -> np.ndarray:
    """Return which of n walks show what the split could have drawn, bool, (n,).

    Args:
        shown: true styles.
        velocity: true vx, vy m/s and turn rate rad/s, (n, 3).
    """
    ranges = [(getattr(shown, name), *limits) for name, limits in RANGES.items()]
    within = np.all([(low <= value) & (value <= high) for value, low, high in ranges], axis=0)
    told = ((velocity >= COMMAND_LOW) & (velocity <= COMMAND_HIGH)).all(axis=1)
    slowed = feasible(velocity, shown, SHOWN_STRIDE_M)
    reached = np.linalg.norm(velocity[:, :2], axis=1) <= 1.1 * np.linalg.norm(
        slowed[:, :2], axis=1
    )
    return np.asarray(within & told & reached & feasible_style(shown))


def gait_of(walks: Walks) -> Gait:
    """Describe n walks by joints, attitude and true contacts, (n,)."""
    return describe_gait(
        walks.joint_pos, projected_gravity(walks.quat_wxyz), RATE_HZ, contact=walks.foot_contact
    )


def shown_styles(walks: Walks, asked: Styles) -> Styles:
    """Return the styles that walks truly show, told by their joints and contacts.

    Args:
        walks: n walks.
        asked: what their controller was told, for the axis that no gait describes.
    """
    gait = gait_of(walks)
    duty = gait.duty_factor.clip(*DUTY_RANGE)
    mid_swing = (1.0 + duty) / 2.0  # the inverse of `Styles.gait`
    offsets = (gait.phase_offset + mid_swing - mid_swing[:, :1]) % 1.0
    swing = np.repeat(gait.swing_height_m.clip(*SWING_HEIGHT_RANGE_M)[:, None], 4, axis=1)
    return Styles(
        offsets, gait.frequency_hz, duty, gait.body_height_m, gait.pitch_rad,
        asked.stance_width_m, swing,
    )  # fmt: skip
