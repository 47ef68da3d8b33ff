"""`make-agent train add`: a generator learns one more behaviour and keeps the others.

1. The policy is distilled into the space of weights that the generator speaks (`training.added`).
2. The generator's own samples stand for what it knows (`training.rehearsal`).
3. Decoder, latent regression and flow are fitted to both (`training.fine_tuning`).
4. Prompts of the new behaviour, and of old ones that were not rehearsed, are answered before and
   after. Where the old ones suffer beyond a margin, or the new one gains nothing, the generator is
   left as it was.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file, save_file

from make_agent_ros.generator.model import Generator
from make_agent_ros.policy.bundle import Bundle, from_bytes, load
from make_agent_ros.policy.third_party import read_policy
from make_agent_ros.recording.doubts import examine
from make_agent_ros.recording.familiar import WALKS_FILE, walks_beside
from make_agent_ros.resources import resource_path
from make_agent_ros.training.added import AddError, Lesson, lesson_from, require_addable
from make_agent_ros.training.fine_tuning import AddConfig, fine_tune, remember
from make_agent_ros.training.generator import digest_of
from make_agent_ros.training.progress import Report, with_progress
from make_agent_ros.training.prompts import PromptData, join_prompts
from make_agent_ros.training.rehearsal import known_policies, rehearse, walking
from make_agent_ros.training.reproduction import (
    Pairs,
    compare,
    figures_of,
    refusal_of,
    reproduce,
    show,
)
from make_agent_ros.training.zoo import Zoo, join

ADDED_ZOO, ADDED_PROMPTS = 'zoo_added.safetensors', 'prompts_added.safetensors'
"""Beside a generator: behaviours added to it, which are learned again with those that follow."""
EXAMPLES = ('demonstration', 'trot', 'pace', 'bound', 'pronk', 'walk', 'canter')
"""Shipped policies that no generator was trained on."""


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    figures: dict[str, float]
    """Of `figures_of` for `added` and `old` behaviours; `added.itself.*`, the given policies
    walked once more; `added.before.novelty`, `added.after.novelty` and `added.doubt`, the largest
    over the added prompts in units of what `generate` refuses."""
    refusal: str
    """Why the generator was left as it was; empty when it has learned."""


def add_policies(
    folder: Path,
    policies: Sequence[Path],
    config: AddConfig | None = None,
    progress: Report | None = None,
) -> Outcome:
    """Teach a generator the behaviours of policies.

    Args:
        folder: of a run. Its `generator/` learns; the shipped one, where it has none. Receives
            `generator/`, the one before in `generator_before/`, `walks.npz` where it has none,
            what was added, and `add.json`.
        policies: bundles (.onnx), or ONNX with YAML beside it.
        config: sizes.
        progress: called with (updates done, updates, what).

    Raises:
        AddError: a policy that cannot be added; the message says why.
        BundleError: a file that is no policy.
    """
    started = time.monotonic()
    config = config or AddConfig()
    report = progress or (lambda done, total, text: None)
    updates = config.codec_updates + config.flow_updates
    if not policies:
        raise AddError('no policy to add; name one or more: make-agent train add POLICY.onnx')
    names, bundles = [path.name for path in policies], [read(path) for path in policies]
    source = folder / 'generator'
    source = source if source.exists() else resource_path('models/generator')
    before = Generator.load(source)
    base = before.codec.base.numpy()
    report(0, updates, 'students of what is added')
    fresh = lesson_from(names, bundles, base, config)
    added = _with_earlier(source.parent, fresh)
    report(0, updates, 'rehearsal: walking what the generator knows')
    known = known_policies(before, config.rehearsed + config.watched, config.seed)
    old = rehearse(known[config.watched :], base, config)
    after = fine_tune(before, old, added, config, report)
    remember(after, PromptData(*(part[:: config.copies] for part in vars(fresh.prompts).values())))
    report(updates, updates, 'answering prompts before and after')
    figures, refusal = _judge(
        before, after, bundles, [*walking(known[: config.watched], config.seed), *examples()],
        config, source,
    )  # fmt: skip
    figures['seconds'] = round(time.monotonic() - started, 1)
    info = {'policies': names, 'refusal': refusal, 'figures': figures, 'config': asdict(config)}
    after.info = {**before.info, 'added': [*before.info.get('added', []), info]}
    after.info['digest'] = digest_of(after)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'add.json').write_text(json.dumps(info, indent=1) + '\n')
    if not refusal:
        _store(folder, source, after, added)
    return Outcome(figures, refusal)


def read(path: Path) -> Bundle:
    """Read a policy that is to be added; see `require_addable`."""
    bundle = from_bytes(read_policy(path))
    require_addable(path.name, bundle)
    return bundle


def examples() -> list[Bundle]:
    """Return the shipped policies that are there."""
    models = resource_path('models')
    return [load(path) for path in sorted(models.glob('*.onnx')) if path.stem in EXAMPLES]


def _judge(
    before: Generator,
    after: Generator,
    added: Sequence[Bundle],
    watched: Sequence[Bundle],
    config: AddConfig,
    source: Path,
) -> tuple[dict[str, float], str]:
    """Answer prompts of added and of old behaviours before and after; return `Outcome`'s parts."""
    new_prompts, owners = show(added, config.prompts, config.seed + 2)
    old_prompts, _ = show(watched, 1, config.seed + 3)
    if not new_prompts or not old_prompts:
        raise AddError(
            f'{len(new_prompts)} prompts of added and {len(old_prompts)} of old behaviours: their '
            'policies fell in every world, so nothing can be compared; make-agent check tells more'
        )
    pairs: Pairs = {}
    for which, prompts in (('added', new_prompts), ('old', old_prompts)):
        pairs[which] = tuple(  # type: ignore[assignment]
            reproduce(one, prompts, config.samples, config.worlds, config.seed)
            for one in (before, after)
        )
    figures = figures_of(pairs)
    itself = compare(owners, new_prompts, config.worlds, config.seed)
    figures |= {f'added.itself.{name}': value for name, value in itself.means().items()}
    walks = walks_beside(source)
    figures['added.doubt'] = max(examine(prompt, walks).score for prompt in new_prompts)
    for when, one in (('before', before), ('after', after)):
        share = [np.divide(*one.novelty(prompt)) for prompt in new_prompts]
        figures[f'added.{when}.novelty'] = float(max(share))
    return figures, refusal_of(pairs, config.margin)


def _with_earlier(folder: Path, fresh: Lesson) -> Lesson:
    """Return what is added now together with what was added to this generator before."""
    if not (folder / ADDED_ZOO).exists():
        return fresh
    arrays = load_file(folder / ADDED_PROMPTS)
    prompts = PromptData(*(arrays[f.name] for f in fields(PromptData)))
    if prompts.features.shape[1:] != fresh.prompts.features.shape[1:]:
        has, gives = prompts.features.shape[1:3], fresh.prompts.features.shape[1:3]
        raise AddError(
            f'{folder / ADDED_PROMPTS} has {has[0]} walks of {has[1]} samples, this would add '
            f'{gives[0]} of {gives[1]}; use the takes and prompt_s of before'
        )
    zoo = join([Zoo.load(folder / ADDED_ZOO), fresh.zoo])
    return Lesson(zoo, join_prompts([prompts, fresh.prompts]))


def _store(folder: Path, source: Path, generator: Generator, added: Lesson) -> None:
    """Put the generator into its run; the one before steps aside."""
    part, target, aside = (
        folder / name for name in ('generator.part', 'generator', 'generator_before')
    )
    generator.save(part)
    arrays = {name: np.ascontiguousarray(part) for name, part in vars(added.prompts).items()}
    save_file(arrays, folder / ADDED_PROMPTS)
    added.zoo.save(folder / ADDED_ZOO)
    if not (folder / WALKS_FILE).exists() and (source.parent / WALKS_FILE).exists():
        shutil.copyfile(source.parent / WALKS_FILE, folder / WALKS_FILE)
    if target.exists():
        shutil.rmtree(aside, ignore_errors=True)
        target.rename(aside)
    part.rename(target)


def outcome_table(figures: dict[str, float]) -> Table:
    """Return what came of it as a table."""
    table = Table(
        title=f'{figures["prompts.added"]:.0f} prompts of added, {figures["prompts.old"]:.0f} of '
        'old behaviours; policies as they are sampled, unranked'
    )
    for heading in ('behaviours', 'policy', 'do what was shown', 'fall', 'error, tolerances'):
        table.add_column(
            heading, justify='left' if heading in ('behaviours', 'policy') else 'right'
        )
    rows = (
        ('added', 'itself', 'itself'), ('added', 'before', 'generated before'),
        ('added', 'after', 'generated after'), ('old', 'before', 'generated before'),
        ('old', 'after', 'generated after'),
    )  # fmt: skip
    for which, when, words in rows:
        reproduced, falls, cost = (
            figures[f'{which}.{when}.{name}'] for name in ('reproduced', 'falls', 'cost')
        )
        table.add_row(which, words, f'{reproduced:.0%}', f'{falls:.0%}', f'{cost:.2f}')
    return table


def run_add(folder: Path, policies: Sequence[Path], config: AddConfig) -> int:
    """Run `make-agent train add`; return the exit code, 1 when nothing was added."""
    outcome = with_progress('add', lambda report: add_policies(folder, policies, config, report))
    console = Console()
    console.print(outcome_table(outcome.figures))
    if outcome.refusal:
        console.print(f'Not added: {outcome.refusal}.', highlight=False)
        return 1
    if outcome.figures['added.doubt'] > 1.0:
        console.print(
            'The checks of a prompt doubt walks of the added behaviour: generate from them with '
            '--allow-novel.'
        )
    console.print(
        f'Next: make-agent generate BAG --model {folder / "generator"} -o policy.onnx',
        soft_wrap=True,
    )
    return 0
