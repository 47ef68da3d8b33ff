"""What to tell the teacher so that it moves at the velocity asked for.

A blind policy has a steady bias of velocity that depends on its style and command (0.1 m/s rms for
the shipped teacher). Reward alone does not remove it: 0.1 m/s costs little beside a fall. It is a
smooth function, so a small net learns it from walks of the teacher, and what the teacher is told
is corrected by it. Students never see the corrected command: they learn the teacher's actions at
the command that they were given, and so come without the bias.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from make_agent_ros.simulation.model import WorldRanges
from make_agent_ros.training.behaviour import (
    ANYWHERE,
    GAITS,
    STYLE_SIZE,
    Allowed,
    Styles,
    moving,
    sample_commands,
    sample_default_commands,
    sample_styles,
)
from make_agent_ros.training.env import EnvConfig, StyleEnv, Tell
from make_agent_ros.training.teacher import CALIBRATION_FILE, Teacher

SETTLE_STEPS, WALK_STEPS = 60, 200
"""Control steps of a walk that do not count, and of the whole walk."""
LARGEST = 0.25
"""Most that a command is corrected by on each axis, m/s and rad/s."""
LARGEST_SHARE = 0.6
"""Most that a command is corrected by as a share of itself, so that it never turns around."""


class CommandCalibration(torch.nn.Module):
    """Velocity bias of a teacher by style and command: (n, 18), (n, 3) -> (n, 3)."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(STYLE_SIZE + 6, width),
            torch.nn.ELU(),
            torch.nn.Linear(width, width),
            torch.nn.ELU(),
            torch.nn.Linear(width, 3),
        )

    def forward(self, style: torch.Tensor, command: torch.Tensor) -> torch.Tensor:
        """Return the bias in vx, vy m/s and wz rad/s, (n, 3)."""
        return self.net(torch.cat((style, command, command.abs()), dim=-1))

    @torch.inference_mode()
    def tell(self, styles: Styles, command: np.ndarray) -> np.ndarray:
        """Return what to tell the teacher so that it moves at `command`, (n, 3).

        Standing stays standing, and a correction never turns a command around.
        """
        told = torch.from_numpy(np.asarray(command, dtype=np.float32))
        bias = self(torch.from_numpy(styles.vector()), told).numpy().astype(np.float64)
        bias = np.clip(bias, -LARGEST, LARGEST) * moving(command)[:, None]
        for axes in (slice(0, 2), slice(2, 3)):
            size = np.linalg.norm(bias[:, axes], axis=1, keepdims=True)
            speed = np.linalg.norm(command[:, axes], axis=1, keepdims=True)
            # Where nothing is asked for on these axes, a small bias is taken off all the same.
            limit = np.maximum(LARGEST_SHARE * speed, 0.1)
            bias[:, axes] *= np.minimum(1.0, limit / np.maximum(size, 1e-9))
        return np.asarray(command - bias)


def calibrate(
    folder: Path, teacher: Teacher, allowed: Allowed, seed: int, rounds: int = 60, envs: int = 512
) -> Tell:
    """Walk the teacher, fit its bias, and keep it in the run as `CALIBRATION_FILE`.

    Args:
        folder: of the run.
        teacher: to calibrate; what it was calibrated with before is not used.
        allowed: styles that may be used: held-out regions are not among them.
        seed: of styles, commands, worlds and the fit.
        rounds: walks of 4 s per robot, each of another style at another command.
        envs: robots at once.

    Returns:
        `CommandCalibration.tell` of the fitted net.
    """
    style, command, bias = _walks(teacher, allowed, seed, rounds, envs)
    torch.manual_seed(seed)
    net = CommandCalibration()
    updates = max(200, 15 * rounds * envs // 256)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.03)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=updates)
    batches = torch.Generator().manual_seed(seed)
    for _ in range(updates):
        ids = torch.randint(len(style), (256,), generator=batches)
        # Huber: a walk that a world has spoiled says little about the teacher.
        loss = torch.nn.functional.huber_loss(net(style[ids], command[ids]), bias[ids], delta=0.1)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    save_file(net.eval().state_dict(), folder / CALIBRATION_FILE, {'teacher': teacher.digest})
    return net.tell


def load_calibration(path: Path, digest: str) -> Tell:
    """Read what `calibrate` kept.

    Args:
        path: of the file.
        digest: of the teacher that it is for.

    Raises:
        ValueError: it was made for another teacher.
    """
    with safe_open(path, 'pt') as file:
        made_for = (file.metadata() or {}).get('teacher', 'unknown')
    if made_for != digest:
        folder = path.parent
        raise ValueError(
            f'{path} was made for teacher {made_for}, the one here is {digest}, which was trained '
            f'on since. What was made from it is stale, too: move {path.name}, base.safetensors '
            f'and zoo* out of {folder}; `make-agent train zoo` makes them anew'
        )
    net = CommandCalibration()
    net.load_state_dict(load_file(path))
    return net.eval().tell


def _walks(
    teacher: Teacher, allowed: Allowed, seed: int, rounds: int, envs: int
) -> tuple[torch.Tensor, ...]:
    """Return styles (n, 18), commands and velocity biases (n, 3) of walks without a fall."""
    rng = np.random.default_rng([seed, 13])

    def styles(ids: np.ndarray) -> Styles:
        gait = np.where(
            rng.random(len(ids)) < 0.5, rng.integers(0, len(GAITS), len(ids)), ANYWHERE
        )
        return sample_styles(rng, len(ids), gait, allowed=allowed)

    def commands(ids: np.ndarray) -> np.ndarray:
        usual = (rng.random(len(ids)) < 0.3)[:, None]
        anywhere = sample_commands(rng, len(ids))
        return np.where(usual, sample_default_commands(rng, len(ids)), anywhere)

    env = StyleEnv(
        EnvConfig(
            envs=envs,
            ranges=WorldRanges(),
            seed=seed,
            episode_s=1e6,
            command_period_s=1e6,
            push_m_s=0.0,
            assist=0.0,
        ),
        styles,
        commands,
    )
    found: list[tuple[np.ndarray, ...]] = []
    for _ in range(rounds):
        env.reset(np.arange(envs))
        env.observe()
        style, command = env.styles.vector(), env.command.copy()
        fell = np.zeros(envs, dtype=bool)
        velocity = np.zeros((envs, 3))
        for step in range(WALK_STEPS):
            _, fallen, _ = env.step(env.reference + teacher.residual(env.teacher_obs()))
            fell |= fallen
            if step >= SETTLE_STEPS:
                velocity[:, :2] += env.sim.yaw_frame_velocity
                velocity[:, 2] += env.sim.qvel[:, 5]
        keep = ~fell & (moving(command) == 1.0)
        bias = velocity / (WALK_STEPS - SETTLE_STEPS) - command
        found.append((style[keep], command[keep], bias[keep]))
    return tuple(
        torch.from_numpy(np.concatenate(column).astype(np.float32))
        for column in zip(*found, strict=True)
    )
