"""Foreign recordings as prompts, and several recordings of one style as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.bag import read_bag
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.gait import Gait, describe_gait, gait_distance
from make_agent_ros.recording.prompt import PROMPT_RATE_HZ, cut_prompt
from make_agent_ros.recording.trajectory import Trajectory

SAME_STYLE = {'frequency_rel': 0.12, 'phase_cycles': 0.15, 'height_m': 0.04, 'swing_m': 0.04}
"""How far the prompts of one style may be from the one in their middle: one and a half times what
neighbouring windows of one recording may differ."""
_UNITS = {
    'frequency_rel': 'of the step frequency', 'phase_cycles': 'cycles of phase',
    'height_m': 'm of body height', 'swing_m': 'm of swing height',
}  # fmt: skip


def import_recording(source: str | Path) -> Trajectory:
    """Read any supported recording (see `recording.bag.read_bag`) for saving as NPZ.

    Raises:
        RecordingError: as `read_bag`.
    """
    return read_bag(source)


def read_prompts(
    sources: Sequence[str | Path], duration_s: float = 4.0, *, any_style: bool = False
) -> list[Trajectory]:
    """Read recordings of one style and cut a prompt from each.

    Args:
        sources: bags or tables.
        duration_s: length of each prompt.
        any_style: take them even when they show different styles.

    Raises:
        RecordingError: one cannot be read or cut, or does not move as the others do.
    """
    return cut_prompts([read_bag(source) for source in sources], duration_s, any_style=any_style)


def cut_prompts(
    recordings: Sequence[Trajectory], duration_s: float = 4.0, *, any_style: bool = False
) -> list[Trajectory]:
    """Cut the steadiest prompt from each recording; they are to show one style.

    Args:
        recordings: at any rate, one at least.
        duration_s: length of each prompt.
        any_style: take them even when they show different styles.

    Raises:
        RecordingError: one cannot be cut, or does not move as the others do; it is named.
    """
    if not recordings:
        raise RecordingError('no recording was given; name one bag at least')
    prompts = [cut_prompt(recording, duration_s) for recording in recordings]
    if len(prompts) > 1 and not any_style:
        _require_one_style(prompts)
    return prompts


def _require_one_style(prompts: Sequence[Trajectory]) -> None:
    gait = describe_gait(
        np.stack([prompt.joint_pos for prompt in prompts]),
        projected_gravity(np.stack([prompt.quat_wxyz for prompt in prompts])),
        PROMPT_RATE_HZ,
    )
    apart = _distances(gait)
    share = np.max([apart[name] / most for name, most in SAME_STYLE.items()], axis=0)
    middle = int(share.sum(axis=1).argmin())
    odd = int(share[middle].argmax())
    if share[middle, odd] > 1.0:
        name = max(SAME_STYLE, key=lambda name: apart[name][middle, odd] / SAME_STYLE[name])
        names = [prompt.source or f'recording {i + 1}' for i, prompt in enumerate(prompts)]
        raise RecordingError(
            f'{names[odd]} shows another style than {names[middle]}: '
            f'{apart[name][middle, odd]:.2f} {_UNITS[name]} apart, at most '
            f'{SAME_STYLE[name]:g} within one style; give one style at a time'
        )


def _distances(gait: Gait) -> dict[str, np.ndarray]:
    """Return how far each prompt is from each other one, (n, n) per axis."""
    return gait_distance(gait[None, :], gait[:, None])
