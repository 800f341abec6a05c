"""The zoo: sizes by hand, starts as published, readouts as described."""

import pytest
import torch
from torch import nn

from speechcls.config import READOUTS, FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError
from speechcls.networks import (
    NETWORKS,
    Readout,
    build_recogniser,
    count_multiply_adds,
    count_parameters,
)

FEATURES = FeatureConfig(duration_s=0.5)
N_GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def build(arch: str, **settings: object) -> nn.Module:
    config = NetworkConfig(arch=arch, hidden_size=6, num_layers=2, **settings)  # type: ignore[arg-type]
    return build_recogniser(FEATURES, config, n_labels=3, seed=0).network


@pytest.mark.parametrize("arch", NETWORKS)
@pytest.mark.parametrize("readout", READOUTS)
def test_logits_of_every_network(arch: str, readout: str) -> None:
    network = build(arch, readout=readout).eval()
    features = torch.randn(4, 11, FEATURES.n_features, generator=torch.Generator().manual_seed(0))
    logits = network(features)
    assert logits.shape == (4, 3)
    torch.testing.assert_close(logits[1:2], network(features[1:2]), atol=1e-6, rtol=1e-5)
    assert logits.std(dim=0).min() > 1e-4  # the clip matters


@pytest.mark.parametrize("arch", NETWORKS)
def test_parameters_and_multiply_adds_by_hand(arch: str) -> None:
    n_directions, gates = (2 if arch.startswith("bi") else 1), N_GATES[arch.removeprefix("bi")]
    size, n_frames, n_features = 6 * n_directions, 51, FEATURES.n_features
    weights = n_directions * gates * 6 * ((n_features + 6) + (size + 6))
    biases = n_directions * 2 * gates * 6 * 2  # torch has two of each
    output = 3 * size
    network = build(arch, readout="mean")
    assert count_parameters(network) == weights + biases + output + 3
    features = torch.zeros(1, n_frames, n_features)
    assert count_multiply_adds(network, features) == n_frames * weights + output
    attention = build(arch, readout="attention")
    extra = size * size + size
    total = n_frames * (weights + extra) + output
    assert count_multiply_adds(attention, features) == total


def test_recurrent_weights_start_orthogonal_and_forget_gates_open() -> None:
    recurrence = build("bilstm").recurrence
    assert isinstance(recurrence, nn.LSTM)
    for name, parameter in recurrence.named_parameters():
        gates = parameter.detach().split(6)
        if name.startswith("weight_hh"):
            for gate in gates:
                torch.testing.assert_close(gate @ gate.T, torch.eye(6), atol=1e-5, rtol=0)
        elif name.startswith("bias"):
            forget = 1.0 if name.startswith("bias_ih") else 0.0
            assert [gate.unique().tolist() for gate in gates] == [[0.0], [forget], [0.0], [0.0]]


def test_last_readout_takes_both_ends() -> None:
    outputs = torch.arange(24.0).reshape(1, 3, 8)
    both = Readout("last", 8, bidirectional=True)(outputs)
    assert both.tolist() == [[16, 17, 18, 19, 4, 5, 6, 7]]
    assert Readout("last", 8, bidirectional=False)(outputs).tolist() == [list(range(16, 24))]


def test_mean_readout() -> None:
    outputs = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])
    assert Readout("mean", 2, bidirectional=False)(outputs).tolist() == [[2.0, 4.0]]


def test_attention_readout_stays_within_the_frames() -> None:
    torch.manual_seed(0)
    outputs = torch.randn(2, 9, 4)
    vector = Readout("attention", 4, bidirectional=False)(outputs)
    assert (vector <= outputs.amax(dim=1)).all() and (vector >= outputs.amin(dim=1)).all()
    same = outputs[:, :1].expand(-1, 9, -1)
    torch.testing.assert_close(Readout("attention", 4, False)(same), same[:, 0])


def test_one_seed_gives_one_network_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    weights = [build("gru").output.weight for _ in range(2)]
    assert torch.equal(*weights)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_unknown_architecture_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no 'elstm'; there are rnn, lstm, gru, birnn, bilstm"):
        build("elstm")


def test_standardisation() -> None:
    recogniser = build_recogniser(FEATURES, NetworkConfig(hidden_size=4), 2, seed=0)
    samples = torch.randn(2, FEATURES.n_samples, generator=torch.Generator().manual_seed(1))
    recogniser.feature_mean.fill_(3.0)
    recogniser.feature_std.fill_(2.0)
    torch.testing.assert_close(
        recogniser.standardised(samples), (recogniser.features(samples) - 3.0) / 2.0
    )
