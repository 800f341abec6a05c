"""Words with gaps appended: what the networks are given, their size and rate, and curves."""

import math

import pytest
import torch

from speechcls.errors import ConfigError, DatasetError
from speechcls.experiments.delayed_recall import (
    DelayedRecallConfig,
    DelayedRecallRun,
    append_gap,
    build_network,
    mean_curves,
    prepare_words,
    run_delayed_recall,
)
from speechcls.layouts.load import load_dataset
from speechcls.networks.size import count_parameters

SMALL = DelayedRecallConfig(max_gap_s=0.5, max_parameters=3_000, steps=40, batch_size=16, lr=0.01)


@pytest.fixture
def words(make_data, tmp_path):
    data = make_data(tmp_path, ("high", "low"), 24, speakers=12)
    return prepare_words(load_dataset(data), SMALL)


def test_words_end_with_the_last_frame_and_speakers_are_held_out(words):
    assert words.labels == ("high", "low")
    assert len(words.training) + len(words.held_out) == 48
    assert len(words.held_out) % 4 == 0  # each speaker says 4, and all are on one side
    assert words.training.shape[1:] == (101, 20)  # a second, a frame each 10 ms
    mean = words.training.mean(dim=(0, 1))
    torch.testing.assert_close(mean, torch.zeros(20), atol=1e-3, rtol=0)
    # The word, 0.3 s long, stands at the end; before it there is hiss like that of the gaps.
    energy = words.training[:, :, 0].mean(dim=0)
    gap = float(words.gaps[:, :, 0].mean())
    assert energy[98] > gap + 1.0
    assert float(energy[:60].mean()) == pytest.approx(gap, abs=0.2)


def test_a_gap_is_as_long_as_it_says(words):
    generator = torch.Generator().manual_seed(0)
    part = words.training[:3]
    for gap_s, n_frames in ((0.0, 101), (0.25, 126), (0.5, 151)):
        assert append_gap(part, words.gaps, gap_s, generator).shape == (3, n_frames, 20)
    assert torch.equal(append_gap(part, words.gaps, 0.5, generator)[:, :101], part)


@pytest.mark.parametrize("arch", ["rnn", "lstm", "gru", "fastrnn", "birnn"])
@pytest.mark.parametrize(("step_ms", "n_steps"), [(10, 200), (40, 51)])
def test_all_have_the_same_rate_and_nearly_the_same_size(arch, step_ms, n_steps):
    network = build_network(arch, step_ms, 20, 6, 20_000)
    assert 16_000 < count_parameters(network) < 20_000
    lengths = []
    network.recurrence.register_forward_hook(
        lambda m, inputs, o: lengths.append(inputs[0].shape[1])
    )
    network.eval()(torch.zeros(1, 200, 20))
    assert lengths == [n_steps]
    assert network.readout.kind == "last"


def test_networks_of_more_than_one_cell_are_refused():
    with pytest.raises(ConfigError, match="archs: att-bigru is not one of rnn, fastrnn, lstm"):
        build_network("att-bigru", 10, 20, 6, 20_000)


def test_one_word_is_not_enough(make_data, tmp_path):
    data = make_data(tmp_path, ("high",), 4)
    with pytest.raises(DatasetError, match="1 label; there must be two or more"):
        prepare_words(load_dataset(data), SMALL)


def test_a_network_learns_and_the_same_seed_gives_the_same(words):
    steps = []
    run = run_delayed_recall(words, "gru", 40, 3, SMALL, lambda: steps.append(1))
    assert len(steps) == SMALL.steps
    assert list(run.accuracy) == SMALL.gaps_s == [0.0, 0.03, 0.05, 0.1, 0.17, 0.25, 0.38, 0.5]
    assert run.accuracy[0.5] > 0.9
    assert words.chance == 0.5
    assert run == run_delayed_recall(words, "gru", 40, 3, SMALL)


def test_curves_are_means_and_deviations_over_seeds():
    runs = [
        DelayedRecallRun("rnn", 10, 0, 9, {0.0: 0.5, 1.0: 0.2}),
        DelayedRecallRun("rnn", 10, 1, 9, {0.0: 0.7, 1.0: 0.2}),
        DelayedRecallRun("rnn", 40, 0, 9, {0.0: 0.9, 1.0: 0.8}),
    ]
    curves = mean_curves(runs)
    assert list(curves) == [(10, "rnn"), (40, "rnn")]
    assert curves[10, "rnn"][0.0] == pytest.approx((0.6, math.sqrt(0.02)))
    assert curves[10, "rnn"][1.0] == pytest.approx((0.2, 0.0))
    assert curves[40, "rnn"][0.0][0] == 0.9
    assert math.isnan(curves[40, "rnn"][0.0][1])
