"""`make-agent train add` on tiny sizes: what is refused, what is kept, what a run receives."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from make_agent_ros.generator import Generator
from make_agent_ros.policy.bundle import load, save
from make_agent_ros.resources import resource_path
from make_agent_ros.training import add
from make_agent_ros.training.add import AddError, Outcome, add_policies, outcome_table
from make_agent_ros.training.added import require_addable
from make_agent_ros.training.fine_tuning import AddConfig
from make_agent_ros.training.reproduction import Reproduction, refusal_of

from .tiny import ZOO

CONFIG = AddConfig(
    copies=2, rehearsed=4, watched=2, codec_updates=2, flow_updates=2, batch=4, states=8,
    prompt_s=3.0, takes=2, prompts=2, samples=1, worlds=1, zoo=ZOO,
)  # fmt: skip
TROT = resource_path('models/trot.onnx')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'action_scale': np.full(12, 0.5)}, 'action_scale'),
        ({'control_dt': 0.01, 'velocity_gain': 0.0}, 'control_dt 0.01, expected 0.02'),
        ({'joint_stiffness': np.full(12, 20.0)}, 'joint_stiffness'),
    ],
)
def test_a_policy_of_another_layout_is_refused_with_every_difference(change, message):
    with pytest.raises(AddError, match=message):
        require_addable('mine.onnx', replace(load(TROT), **change))
    require_addable('trot.onnx', load(TROT))


@pytest.mark.parametrize('refused', [False, True])
def test_a_run_receives_the_generator_only_when_it_was_not_refused(tmp_path, monkeypatch, refused):
    policy = tmp_path / 'mine.onnx'
    save(load(TROT), policy)
    monkeypatch.setattr(add, 'refusal_of', lambda pairs, margin: 'worse' if refused else '')
    outcome = add_policies(tmp_path / 'run', [policy], CONFIG)
    info = json.loads((tmp_path / 'run' / 'add.json').read_text())
    assert (outcome.refusal, info['refusal']) == (('worse',) * 2 if refused else ('',) * 2)
    assert outcome_table(outcome.figures).row_count == 5
    generator = tmp_path / 'run' / 'generator'
    if refused:
        assert not generator.exists()
        return
    learned, shipped = Generator.load(generator), Generator.load()
    assert learned.info['added'][-1]['policies'] == ['mine.onnx']
    assert learned.info['digest'] != shipped.info['digest']
    # old prompts and old latents mean what they meant; what latents mean has changed
    kept = (learned.embedding, learned.codec.encoder), (shipped.embedding, shipped.codec.encoder)
    for mine, theirs in zip(*kept, strict=True):
        for name, value in mine.state_dict().items():
            torch.testing.assert_close(value, theirs.state_dict()[name], msg=name)
    assert not torch.equal(learned.codec.residual.weight, shipped.codec.residual.weight)
    assert len(learned.known) > len(shipped.known)
    # what was added before is learned again beside what follows
    again: Outcome = add_policies(tmp_path / 'run', [policy], CONFIG)
    assert again.figures['prompts.added'] == outcome.figures['prompts.added']
    assert len(Generator.load(generator).info['added']) == 2
    assert (tmp_path / 'run' / 'generator_before').exists()


def test_nothing_to_add_and_a_policy_that_stands_are_sentences(tmp_path):
    with pytest.raises(AddError, match=r'make-agent train add POLICY\.onnx'):
        add_policies(tmp_path, [])
    with pytest.raises(AddError, match='set default_command'):
        require_addable('still.onnx', replace(load(TROT), default_command=np.zeros(3)))


def _did(reproduced: float, falls: float, cost: float) -> Reproduction:
    shares = np.arange(20).reshape(10, 2) / 20.0
    return Reproduction(
        shares < reproduced, (shares < falls).astype(float), np.full((10, 2), cost)
    )


def test_a_generator_that_forgets_or_gains_nothing_is_refused_with_figures():
    fine, worse = _did(0.8, 0.0, 1.0), _did(0.6, 0.0, 1.2)
    better = _did(0.9, 0.0, 0.7)
    assert refusal_of({'old': (fine, fine), 'added': (worse, better)}, 0.1) == ''
    forgets = refusal_of({'old': (fine, worse), 'added': (worse, better)}, 0.1)
    assert '80%' in forgets
    assert '60%' in forgets
    assert refusal_of({'old': (fine, worse), 'added': (worse, better)}, 0.25) == ''
    falls = refusal_of({'old': (fine, _did(0.8, 0.3, 1.0)), 'added': (worse, better)}, 0.1)
    assert 'old behaviours suffer' in falls
    assert 'nothing is gained' in refusal_of({'old': (fine, fine), 'added': (fine, worse)}, 0.1)
