"""`make-agent bench generator`: how fast policies come, beside the released architecture.

Each side runs in a process of its own, one after the other: memory is that of one side alone, and
loading meets a process that has loaded nothing. The released architecture has random weights, on
which its duration does not depend. The prompt is the shipped demonstration policy walking.
"""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from rich.console import Console

from make_agent_ros.policy.bundle import load
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.resources import resource_path

Figures = dict[str, float]
PROMPT_S = 4.0


@dataclass(frozen=True)
class GeneratorBench:
    """Time loading, generating and ranking, beside the released architecture."""

    generator: Path | None = None
    """Folder of the generator; the shipped one when omitted."""
    repeats: int = 20
    """Timed runs of the generator, after a first one."""
    official_repeats: int = 3
    """Timed runs of the released architecture, after a first one; 0 leaves it out."""
    device: Literal['auto', 'cpu', 'cuda'] = 'auto'
    """Also measure on a CUDA device, under keys that end in `_cuda`; auto: if there is one."""


def run_generator(arguments: Sequence[str]) -> Figures:
    """Run `bench generator`, print its figures and return them.

    Returns:
        Seconds from a prompt of 4 s to 16 policies: `seconds_16` (median), `seconds_16_p95`,
        `seconds_16_first` in a fresh process, `seconds_16_official`, and `ratio`, theirs by ours;
        `ranking_s`, ranking the 16; `import_s`, of torch and the package; `load_s`, the weights;
        `peak_rss_mb` after generating, `peak_rss_ranked_mb` after ranking too, and
        `peak_rss_official_mb`; `models_mb` as shipped; `parameters` of all nets of ours and
        `parameters_official` of their U-Net; `threads` of torch.
    """
    options = tyro.cli(GeneratorBench, args=list(arguments), prog='make-agent bench generator')
    figures = _measure(options, 'cpu')
    figures['models_mb'] = models_mb()
    if options.device == 'cuda' or (options.device == 'auto' and cuda_available()):
        figures |= {f'{name}_cuda': value for name, value in _measure(options, 'cuda').items()}
    Console().print('\n'.join(f'{name:>26} {value:.4g}' for name, value in figures.items()))
    return figures


def _measure(options: GeneratorBench, device: str) -> Figures:
    figures = alone(measure_ours, options.generator, options.repeats, device)
    if options.official_repeats:
        figures |= alone(measure_official, options.official_repeats, device)
        figures['ratio'] = figures['seconds_16_official'] / figures['seconds_16']
    return figures


def alone(work: Callable[..., Figures], *arguments: object) -> Figures:
    """Return what `work` returns in a process of its own."""
    spawn = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(work, *arguments).result()


def measure_ours(folder: Path | None, repeats: int, device: str) -> Figures:
    """Time this package's generator in this process, which must be fresh.

    Args:
        folder: of the generator; the shipped one when None.
        repeats: timed runs.
        device: of the nets.
    """
    started = time.perf_counter()
    import torch

    from make_agent_ros.generator import Generator

    imported = time.perf_counter()
    generator = Generator.load(folder).to(device)
    loaded = time.perf_counter()
    prompt = demonstration_prompt()
    spent = []
    for seed in range(repeats + 1):
        begun = time.perf_counter()
        bundles = generator.sample(prompt, 16, seed, allow_novel=True)
        spent.append(time.perf_counter() - begun)
    peak_rss_mb = read_peak_rss_mb()
    from make_agent_ros.checking.ranking import rank

    ranking = [rank(bundles, prompt, seed=seed).seconds for seed in range(3)]
    return {
        'seconds_16': float(np.median(spent[1:])),
        'seconds_16_p95': float(np.percentile(spent[1:], 95)),
        'seconds_16_first': spent[0],
        'ranking_s': float(np.median(ranking)),
        'import_s': imported - started,
        'load_s': loaded - imported,
        'peak_rss_mb': peak_rss_mb,
        'peak_rss_ranked_mb': read_peak_rss_mb(),
        'parameters': float(sum(p.numel() for p in generator.parameters())),
        'threads': float(torch.get_num_threads()),
    }


def measure_official(repeats: int, device: str) -> Figures:
    """Time the released architecture with random weights in this process."""
    from make_agent_ros.training.baselines import OfficialConfig, time_sampling

    seconds, parameters = time_sampling(OfficialConfig(device=device), 16, repeats)
    return {
        'seconds_16_official': seconds,
        'parameters_official': float(parameters),
        'peak_rss_official_mb': read_peak_rss_mb(),
    }


def demonstration_prompt(policy: Path | None = None, seconds: float = PROMPT_S) -> Trajectory:
    """Walk a policy at its own velocity in a nominal world and cut a prompt out of it.

    Args:
        policy: a bundle; the shipped demonstration when omitted.
        seconds: of the prompt.
    """
    from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
    from make_agent_ros.simulation.rollout import rollout
    from make_agent_ros.training.prompts import SETTLE_S, prompt_from_log

    bundle = load(policy or resource_path('models/demonstration.onnx'))
    worlds = randomised_worlds(1, 0, WorldRanges.nominal())
    log = rollout([bundle], worlds, bundle.default_command[None], SETTLE_S + seconds + 0.1)
    return prompt_from_log(log, 0, 0, SETTLE_S, seconds)


def read_peak_rss_mb() -> float:
    """Return the largest resident memory that this process has had, MB of 2^20 bytes.

    From /proc, which counts from the start of this program; `getrusage` hands the peak of the
    parent process down.
    """
    found = re.search(r'VmHWM:\s+(\d+) kB', Path('/proc/self/status').read_text())
    if found is None:
        return float('nan')
    return int(found[1]) / 1024


def models_mb() -> float:
    """Return the size of the shipped models, MB of 2^20 bytes."""
    files = (path for path in resource_path('models').rglob('*') if path.is_file())
    return sum(path.stat().st_size for path in files) / 2**20


def cuda_available() -> bool:
    """Tell whether torch sees a CUDA device."""
    import torch

    return bool(torch.cuda.is_available())
