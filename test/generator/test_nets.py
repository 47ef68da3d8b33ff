from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from make_agent_ros.generator.codec import WeightCodec, mlp_forward
from make_agent_ros.generator.embedding import (
    BehaviourEmbedding,
    features,
    info_nce,
    trajectory_features,
)
from make_agent_ros.generator.flow import LatentFlow
from make_agent_ros.generator.model import (
    Generator,
    GeneratorFileError,
    GeneratorSizes,
    NovelPromptError,
)
from make_agent_ros.generator.velocity import NET_VELOCITY_STD, agreed
from make_agent_ros.policy.mlp import MlpBatch, MlpShape
from make_agent_ros.recording.doubts import OddPromptError, require_plausible
from make_agent_ros.recording.familiar import shipped_walks
from make_agent_ros.recording.odometry import Velocity
from make_agent_ros.recording.trajectory import Trajectory

SHAPE = MlpShape(7, (6, 5), 3)


def trajectory(steps=200, rate=50.0, seed=0):
    rng = np.random.default_rng(seed)
    quat = np.tile([1.0, 0, 0, 0], (steps, 1))
    return Trajectory(
        np.arange(steps) / rate, quat, rng.standard_normal((steps, 3)),
        rng.standard_normal((steps, 12)), rng.standard_normal((steps, 12)),
        np.zeros((steps, 3)), np.zeros((steps, 12)), np.zeros((steps, 4)), 'test',
    )  # fmt: skip


def test_differentiable_policies_compute_what_the_robot_computes():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((4, SHAPE.size)).astype(np.float32)
    obs = rng.standard_normal((4, 9, 7)).astype(np.float32)
    ours = mlp_forward(SHAPE, torch.from_numpy(weights), torch.from_numpy(obs)).numpy()
    np.testing.assert_allclose(ours, MlpBatch(SHAPE, weights)(obs), atol=1e-5)


def test_an_untrained_codec_already_reconstructs_through_its_principal_components():
    torch.manual_seed(0)
    base = torch.randn(SHAPE.size)
    directions = torch.randn(3, SHAPE.size)
    zoo = base + 0.2 * torch.randn(40, 3) @ directions
    codec = WeightCodec(SHAPE, latent=8, width=64)
    clocks = torch.linspace(1.5, 4.0, 40)
    codec.set_statistics(base, zoo, clocks)
    normalised = (zoo - base) / codec.scale
    rank = codec.components[:3] @ normalised.T
    assert torch.linalg.matrix_rank(rank) == 3
    weights, frequency = codec.decode(codec.encode(zoo, clocks))
    assert weights.shape == zoo.shape
    torch.testing.assert_close(frequency, clocks)


def test_codec_normalises_each_layer_by_its_own_spread():
    base = torch.zeros(SHAPE.size)
    zoo = torch.randn(50, SHAPE.size, generator=torch.Generator().manual_seed(0))
    first = SHAPE.slices[0][0]
    zoo[:, first] *= 100.0
    codec = WeightCodec(SHAPE, latent=4, width=32)
    codec.set_statistics(base, zoo, torch.full((50,), 2.0))
    assert codec.scale[first].mean() > 50
    assert codec.scale[SHAPE.slices[1][0]].mean() < 2


def test_the_flow_learns_to_sample_what_its_condition_asks_for():
    torch.manual_seed(0)
    flow = LatentFlow(latent=2, embedding=2, width=64, blocks=2)
    optimizer = torch.optim.Adam(flow.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        condition = torch.randn(128, 2, generator=generator)
        data = 0.5 * condition + 0.05 * torch.randn(128, 2, generator=generator)
        loss, _ = flow.loss(data, condition, generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    asked = torch.tensor([[1.0, -1.0], [-1.0, 0.5]]).repeat_interleave(50, 0)
    drawn = flow.sample(asked, generator=torch.Generator().manual_seed(1))
    means = drawn.view(2, 50, 2).mean(1)
    torch.testing.assert_close(means, 0.5 * asked[::50], atol=0.12, rtol=0.0)


def test_guidance_of_one_is_the_plain_conditional_sampler():
    torch.manual_seed(0)
    flow = LatentFlow(latent=3, embedding=4, width=32, blocks=1)
    torch.nn.init.normal_(flow.out.weight)
    condition = torch.randn(5, 4)
    draws = [
        flow.sample(condition, guidance=g, generator=torch.Generator().manual_seed(2))
        for g in (1.0, 1.0, 3.0)
    ]
    torch.testing.assert_close(draws[0], draws[1])
    assert (draws[0] - draws[2]).abs().max() > 1e-3


@pytest.mark.parametrize('steps', [50, 100, 203, 400])
def test_windows_of_any_length_have_embeddings_of_one_size(steps):
    e, velocity = BehaviourEmbedding(size=16)(torch.randn(2, steps, 30))
    assert e.shape == (2, 16)
    assert velocity.shape == (2, 3)


def test_info_nce_prefers_matching_rows():
    rows = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    assert info_nce(rows, rows) < 0.1 < info_nce(rows, rows.flip(0))


def test_features_of_a_standing_level_robot_are_zero():
    from make_agent_ros.go2.constants import NOMINAL_JOINT_POS

    rows = features(
        np.tile([1.0, 0, 0, 0], (3, 1)), np.zeros((3, 3)), np.tile(NOMINAL_JOINT_POS, (3, 1)),
        np.zeros((3, 12)),
    )  # fmt: skip
    np.testing.assert_array_equal(rows, np.zeros((3, 30)))


def test_a_prompt_at_another_rate_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r'500\.\d samples per second.*resample'):
        trajectory_features(trajectory(rate=500.0))


@pytest.fixture
def generator():
    torch.manual_seed(0)
    model = Generator(GeneratorSizes())
    model.known = torch.zeros(1, 64)
    return model.eval()


def test_sampling_gives_runnable_bundles_with_provenance(generator):
    prompt = trajectory()
    bundles = generator.sample(prompt, 5, seed=3)
    assert len(bundles) == 5
    assert bundles[2].provenance['prompt_sha256'] == prompt.digest()
    assert bundles[2].provenance['candidate'] == 2
    assert bundles[0].policy()(np.zeros(47, np.float32)).shape == (12,)


def test_the_same_seed_gives_the_same_policies_and_another_seed_others(generator):
    torch.nn.init.normal_(generator.flow.out.weight, std=0.01)
    draws = [generator.sample(trajectory(), 2, seed=s)[1].layers[0][0] for s in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 1e-6


def test_samples_lie_around_what_regression_says_and_meet_it_without_spread(generator):
    torch.nn.init.normal_(generator.flow.out.weight, std=0.01)
    generator.flow.std.fill_(1e-3)
    embedding, _ = generator.embed(trajectory())
    noise = torch.Generator().manual_seed(0)
    latents = generator.latents(embedding.expand(3, -1), generator=noise)
    expected = generator.to_latent(generator.embedding.style(embedding)).expand(3, -1)
    torch.testing.assert_close(latents, expected, atol=0.02, rtol=0.0)
    assert (latents[0] - latents[1]).abs().max() > 1e-6


def test_the_first_candidate_is_the_regression_whatever_the_seed(generator):
    torch.nn.init.normal_(generator.flow.out.weight, std=0.01)
    for seed in (1, 2):
        proposal = generator.propose(trajectory(), 4, seed=seed, allow_novel=True)
        regression = generator.to_latent(proposal.style)
        torch.testing.assert_close(proposal.latent[0], regression)
        assert (proposal.latent[1:] - regression).abs().amax(dim=1).min() > 1e-6


def test_candidates_are_spread_from_the_style_that_is_said_to_the_one_that_is_measured(generator):
    generator.flow.std.fill_(0.0)
    prompt = trajectory()
    embedding, _ = generator.embed(prompt)
    latent = generator.propose(prompt, 16, allow_novel=True).latent
    shares = np.linspace(0.0, 1.0, 101)
    way = generator.to_latent(generator.styles(prompt, embedding, shares))
    off, at = torch.cdist(latent, way).min(dim=1)
    assert off.max() < 0.2 * torch.dist(way[0], way[-1])
    gaps = np.diff(np.sort(shares[at]))
    assert gaps.max() < 0.15
    assert shares[at].min() < 0.15 and shares[at].max() > 0.85


def test_a_novel_prompt_is_refused_with_its_distance_unless_allowed(generator):
    generator.novelty_threshold = torch.tensor(1e-3)
    with pytest.raises(NovelPromptError, match=r'distance \d+\.\d+, expected below 0\.00'):
        generator.sample(trajectory(), 2)
    assert len(generator.sample(trajectory(), 2, allow_novel=True)) == 2


def test_noise_and_stillness_are_refused_before_the_generator_sees_them():
    walks = shipped_walks()
    shaking = trajectory()
    still = replace(
        shaking, base_ang_vel=np.zeros((200, 3)), joint_pos=np.zeros((200, 12)),
        joint_vel=np.zeros((200, 12)),
    )  # fmt: skip
    # The embedding alone puts noise among the walks; the checks of a prompt come first.
    for prompt in (shaking, still):
        with pytest.raises(OddPromptError):
            require_plausible(prompt, walks)


@pytest.mark.parametrize(
    ('spoil', 'told'),
    [
        (('"format_version": 3', '"format_version": 2'), r'format 2; this package reads 3.*train'),
        (('"format_version"', '"version"'), r'damaged \(KeyError'),
        (('"latent": 32', '"latent": 33'), r'damaged \(RuntimeError'),
        (('{', ''), r'damaged \(JSONDecodeError'),
        (None, r'damaged \(SafetensorError.*again'),
    ],
)
def test_a_generator_that_cannot_be_read_is_refused_in_a_sentence(
    generator, tmp_path, spoil, told
):
    generator.save(tmp_path)
    path = tmp_path / 'generator.json'
    if spoil is None:
        path = tmp_path / 'generator.safetensors'
        path.write_bytes(path.read_bytes()[:-1000])
    else:
        path.write_text(path.read_text().replace(*spoil, 1))
    with pytest.raises(GeneratorFileError, match=told):
        Generator.load(tmp_path)


def test_a_saved_generator_loads_from_its_folder(generator, tmp_path):
    generator.save(tmp_path / 'g')
    again = Generator.load(tmp_path / 'g')
    a, b = (m.embed(trajectory())[0] for m in (generator, again))
    torch.testing.assert_close(a, b, atol=5e-3, rtol=5e-3)
    with pytest.raises(FileNotFoundError, match='make-agent train all'):
        Generator.load(tmp_path / 'nothing')


def test_the_velocity_of_a_prompt_is_weighted_by_certainty():
    net = np.array([0.4, 0.0, 0.1])
    sure = Velocity(mean=np.array([0.6, 0.1, 0.2]), std=np.full(3, 1e-4), support=np.ones(()))
    np.testing.assert_allclose(agreed(net, sure), sure.mean, atol=1e-3)
    alike = Velocity(np.array([0.5, 0.05, 0.2]), NET_VELOCITY_STD, np.ones(()))
    np.testing.assert_allclose(agreed(net, alike), [0.45, 0.025, 0.15])
    nothing = replace(sure, mean=np.full(3, np.nan))
    np.testing.assert_allclose(agreed(net, nothing), net)


def test_a_net_that_the_legs_contradict_is_not_believed_in_the_plane():
    net, std = np.array([0.9, 0.0, 0.2]), np.array([0.04, 0.02, 0.02])
    legs = Velocity(np.array([0.3, 0.0, 0.1]), std, np.array(1.0))
    told = agreed(net, legs)
    np.testing.assert_allclose(told[:2], legs.mean[:2], atol=0.01)
    assert told[2] == pytest.approx(0.15)
    near = Velocity(np.array([0.8, 0.0, 0.1]), std, np.array(1.0))
    weight = 1.0 / NET_VELOCITY_STD[0] ** 2, 1.0 / std[0] ** 2
    assert agreed(net, near)[0] == pytest.approx(np.average([0.9, 0.8], weights=weight))
