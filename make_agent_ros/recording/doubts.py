"""Whether a prompt is a Go2 walking on level ground: every doubt with its figure and its reason.

Each check of `checks` is a figure divided by the largest (or smallest) value that real walks have,
so that 1 is the limit whatever the check. The score of a prompt is the largest of them: it is
refused above 1, for the reasons of the checks that are above 1. How rare a score is among walks
that are fine was measured when the walks were fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.checks import CHECKS, Doubt, Scene
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.familiar import FamiliarWalks
from make_agent_ros.recording.gait import describe_gait
from make_agent_ros.recording.trajectory import Trajectory

TOLD = 3
"""Reasons in one sentence, at most."""


@dataclass(frozen=True)
class Examination:
    """What all checks say about one prompt."""

    checks: tuple[Doubt, ...]
    """Every check, the most doubtful first."""
    rarity: float = float('nan')
    """Share of good walks that score at least as high; NaN without statistics of walks."""

    @property
    def score(self) -> float:
        """The largest of the checks' scores; the prompt is refused above 1."""
        return self.checks[0].score

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """The checks that refuse."""
        return tuple(check for check in self.checks if check.score > 1.0)

    @property
    def sentence(self) -> str:
        """The verdict in words: the score, its rarity, and the reasons or the nearest to one."""
        rare = '' if self.rarity != self.rarity else f', as {_share(self.rarity)}'
        if not self.doubts:
            return f'score {self.score:.2f} of 1{rare}; nearest to a doubt: {self.checks[0].kind}'
        reasons = '; '.join(doubt.sentence for doubt in self.doubts[:TOLD])
        return f'score {self.score:.2f}, refused above 1{rare}: {reasons}'


def _share(rarity: float) -> str:
    """Say how many good walks have it."""
    if rarity <= 0.0:
        return 'no good walk has'
    if rarity > 0.1:
        return f'{rarity:.0%} of good walks have'
    return f'one good walk in {1.0 / rarity:.0f} has'


class OddPromptError(RecordingError):
    """A prompt that does not look like a Go2 walking on level ground."""

    def __init__(self, name: str, examination: Examination) -> None:
        self.examination = examination
        super().__init__(
            f'{name}: {examination.sentence}. Record it again, mend the import, or allow novel '
            'prompts'
        )


def examine(prompt: Trajectory, walks: FamiliarWalks | None = None) -> Examination:
    """Try every check on a prompt at a uniform rate, e.g. one that `cut_prompt` returned.

    Args:
        prompt: at least 1 s.
        walks: statistics of walks; without them the last two checks and the rarity are left out.
    """
    found = plain_checks(prompt, walks)
    if walks is not None:
        found = [replace(doubt, score=doubt.score / walks.slack(doubt.kind)) for doubt in found]
    ranked = tuple(sorted(found, key=lambda doubt: -doubt.score))
    return (
        Examination(ranked)
        if walks is None
        else Examination(ranked, walks.rarity(ranked[0].score))
    )


def plain_checks(prompt: Trajectory, walks: FamiliarWalks | None = None) -> list[Doubt]:
    """Return what each check says by its own limit, in the order of `CHECKS`."""
    gravity = projected_gravity(prompt.quat_wxyz)
    gait = describe_gait(prompt.joint_pos, gravity, prompt.rate_hz)
    scene = Scene(prompt, gravity, gait, walks)
    return [doubt for check in CHECKS for doubt in check(scene)]


def require_plausible(
    prompts: Trajectory | Sequence[Trajectory], walks: FamiliarWalks | None = None
) -> Examination:
    """Examine one prompt, or several of one style; return what is said of the oddest.

    Raises:
        OddPromptError: naming the reasons.
    """
    prompts = [prompts] if isinstance(prompts, Trajectory) else list(prompts)
    examined = [(examine(prompt, walks), prompt) for prompt in prompts]
    worst, prompt = max(examined, key=lambda pair: pair[0].score)
    if worst.doubts:
        raise OddPromptError(prompt.source or 'the prompt', worst)
    return worst
