"""What style a robot walks that is told one: the bias of the teacher, free of the noise of walks.

Teachers and students walk a little otherwise than they are told: swings are lower, phases of
uneven gaits slip. One walk measures that with noise (payload, friction, kicks), which a generator
would have to average out; a smooth map from the told style to the walked one, fitted to all walks
of a zoo, has done so already. Weights are generated from what this map says, so that a prompt's
measured gait means what it measures.
"""

from __future__ import annotations

import numpy as np
import torch

from make_agent_ros.generator.style import RANGES, STYLE_SIZE, unit_phases

UPDATES, BATCH, RATE = 2000, 1024, 3e-3
FREQUENCY_ERROR = 0.1
"""Walks whose step frequency was read so far from the clock's, half ranges, tell nothing (0.3 %
of them); where all were, all count."""
_FREQUENCY = 6 + list(RANGES).index('frequency_hz')


def expected_styles(
    told: np.ndarray, walked: np.ndarray, valid: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Return the styles that n behaviours walk on average, float32, (n, 18).

    Args:
        told: style vectors, (n, 18).
        walked: of k walks of each, (n, k, 18).
        valid: walks that were walked to the end, bool, (n, k).
        seed: of the fit.
    """
    steady = np.abs(walked[..., _FREQUENCY] - told[:, None, _FREQUENCY]) < FREQUENCY_ERROR
    chosen = valid & steady
    behaviour, take = np.nonzero(chosen if chosen.any() else valid)
    x = torch.from_numpy(told.astype(np.float32))
    inputs = x[behaviour]
    target = torch.from_numpy(walked[behaviour, take].astype(np.float32)) - inputs
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(
            torch.nn.Linear(STYLE_SIZE, 128),
            torch.nn.ELU(),
            torch.nn.Linear(128, 128),
            torch.nn.ELU(),
            torch.nn.Linear(128, STYLE_SIZE),
        )
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=UPDATES)
    for _ in range(UPDATES):
        rows = torch.randint(len(inputs), (BATCH,), generator=generator)
        # Huber: a phase that was misread is far off and must not pull.
        loss = torch.nn.functional.huber_loss(net(inputs[rows]), target[rows], delta=0.3)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return unit_phases((x + net(x)).numpy())
