"""Left-right mirroring of the teacher's observations and actions.

The Go2 is its own mirror image, so every sample is worth two, and the teacher cannot learn a
lateral bias (Mittal et al., "Symmetry Considerations for Learning Task Symmetric Robot Policies",
ICRA 2024). Mirroring makes FR the leg that phases are counted from, hence the trigonometry.
"""

from __future__ import annotations

from typing import Any

import torch
from rsl_rl.extensions import Symmetry
from tensordict import TensorDict

SWAP_LEGS = torch.tensor([1, 0, 3, 2])
SWAP_JOINTS = torch.tensor([3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8])
JOINT_SIGN = torch.tensor([-1.0, 1.0, 1.0] * 4)
POLAR = torch.tensor([1.0, -1.0, 1.0])
"""Mirrors a vector: velocity, gravity."""
AXIAL = torch.tensor([-1.0, 1.0, -1.0])
"""Mirrors a rotation vector: angular velocity."""
COMMAND = torch.tensor([1.0, -1.0, -1.0])


def mirror_joints(values: torch.Tensor) -> torch.Tensor:
    """Mirror joint values (..., 12)."""
    return values[..., SWAP_JOINTS] * JOINT_SIGN


def mirror_actor(obs: torch.Tensor) -> torch.Tensor:
    """Mirror the teacher's input, (B, 86), as `StyleEnv.teacher_obs` lays it out."""
    sin_legs, cos_legs = obs[:, 65:69], obs[:, 69:73]
    return torch.cat(
        (
            obs[:, 0:3] * AXIAL,
            obs[:, 3:6] * POLAR,
            obs[:, 6:9] * COMMAND,
            mirror_joints(obs[:, 9:21]),
            mirror_joints(obs[:, 21:33]),
            mirror_joints(obs[:, 33:45]),
            sin_legs[:, 1:2],
            cos_legs[:, 1:2],
            _mirror_offsets(obs[:, 47:53]),
            obs[:, 53:57],
            obs[:, 57:61][:, SWAP_LEGS],
            obs[:, 61:65][:, SWAP_LEGS],
            sin_legs[:, SWAP_LEGS],
            cos_legs[:, SWAP_LEGS],
            obs[:, 73:74],
            mirror_joints(obs[:, 74:86]),
        ),
        dim=1,
    )


def _mirror_offsets(sin_cos: torch.Tensor) -> torch.Tensor:
    """Sines and cosines of the offsets of FR, RL, RR, counted from FR instead of FL."""
    s_fr, s_rl, s_rr, c_fr, c_rl, c_rr = sin_cos.unbind(1)
    return torch.stack(
        (
            -s_fr,
            s_rr * c_fr - c_rr * s_fr,
            s_rl * c_fr - c_rl * s_fr,
            c_fr,
            c_rr * c_fr + s_rr * s_fr,
            c_rl * c_fr + s_rl * s_fr,
        ),
        dim=1,
    )


def mirror_privileged(extra: torch.Tensor) -> torch.Tensor:
    """Mirror what only the critic sees, (B, 19), as `StyleEnv.critic_extra` lays it out."""
    return torch.cat(
        (
            extra[:, 0:3] * POLAR,
            extra[:, 3:5] * POLAR[:2],
            extra[:, 5:6],
            -extra[:, 6:7],
            extra[:, 7:11][:, SWAP_LEGS],
            extra[:, 11:15][:, SWAP_LEGS],
            extra[:, 15:19],
        ),
        dim=1,
    )


def append_mirrored(
    env: Any, obs: TensorDict | None, actions: torch.Tensor | None
) -> tuple[TensorDict | None, torch.Tensor | None]:
    """Return originals followed by their mirror images, the interface of rsl-rl's symmetry."""
    if obs is not None:
        mirrored = TensorDict(
            {
                'actor': mirror_actor(obs['actor']),
                'privileged': mirror_privileged(obs['privileged']),
            },
            batch_size=obs.batch_size,
        )
        obs = torch.cat((obs, mirrored), dim=0)
    if actions is not None:
        actions = torch.cat((actions, mirror_joints(actions)), dim=0)
    return obs, actions


class MirrorAugmentation(Symmetry):
    """rsl-rl's data augmentation without the symmetry loss it would compute for its log."""

    def compute_loss(self, actor: Any, batch: Any, original_batch_size: int) -> torch.Tensor:
        """Return 0: augmentation alone already makes the policy symmetric."""
        return torch.zeros(())
