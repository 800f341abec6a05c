"""Samples to labels: words summed, features standardised, sizes and multiply-adds by hand."""

import dataclasses

import pytest
import torch

from speechcls.config import SIZES, FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError
from speechcls.networks.network import Network
from speechcls.networks.recogniser import Recogniser, build_recogniser
from speechcls.networks.size import count_multiply_adds, count_parameters, fit_size
from speechcls.networks.zoo import NETWORKS, build_network, feature_kind

FEATURES = FeatureConfig(duration_s=0.5)
NETWORK = NetworkConfig(arch="gru", hidden_size=4, num_layers=1)


def build(label_of_output: list[int] | range, seed: int = 0) -> Recogniser:
    return build_recogniser(FEATURES, NETWORK, label_of_output, seed).eval()


def random_samples(n_clips: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(n_clips, FEATURES.n_samples, generator=generator)


def test_one_seed_gives_one_recogniser_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (build(range(3), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, weight in first.network.state_dict().items():
        assert torch.equal(weight, again.network.state_dict()[name]), name
    assert not torch.equal(first.network.output.weight, other.network.output.weight)


def test_unknown_architecture_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError) as error:
        build_recogniser(FEATURES, NetworkConfig(arch="elstm"), range(3), seed=0)
    assert str(error.value) == (
        "arch: no 'elstm'; there are rnn, fastrnn, lstm, lstmp, gru, mingru, birnn, bilstm, bigru,"
        " crnn, att-bigru, att-bilstm"
    )


def test_standardisation() -> None:
    recogniser, samples = build(range(2)), random_samples(2)
    recogniser.feature_mean.copy_(torch.linspace(-9.0, 9.0, 40))
    recogniser.feature_std.copy_(torch.linspace(1.0, 5.0, 40))
    expected = (recogniser.features(samples) - torch.linspace(-9.0, 9.0, 40)) / torch.linspace(
        1.0, 5.0, 40
    )
    torch.testing.assert_close(recogniser.extract_features(samples), expected)


# Words and labels


def test_probabilities_of_the_words_of_a_label_are_summed() -> None:
    # Odds 4, 1, 3, 2 and 2, 2, 0, 6 of ten; each row of logits may be moved as a whole.
    logits = torch.tensor([[4.0, 1.0, 3.0, 2.0], [2.0, 2.0, 0.0, 6.0]]).log() + 7.0
    by_label = build([0, 1, 2, 2]).merge_word_logits(logits).exp()
    torch.testing.assert_close(by_label, torch.tensor([[0.4, 0.1, 0.5], [0.2, 0.2, 0.6]]))
    crossed = build([1, 0, 2, 0]).merge_word_logits(logits).exp()
    torch.testing.assert_close(crossed, torch.tensor([[0.3, 0.4, 0.3], [0.8, 0.2, 0.0]]))


def test_labels_in_another_order_than_their_outputs() -> None:
    # As many words as labels, but _unknown_ has another place among them.
    logits = torch.tensor([[5.0, 3.0, 2.0]]).log()
    by_label = build([0, 2, 1]).merge_word_logits(logits).exp()
    torch.testing.assert_close(by_label, torch.tensor([[0.5, 0.2, 0.3]]))


def test_logits_stay_where_each_label_is_one_output() -> None:
    logits = torch.tensor([[3.0, -40.0, 900.0]])
    assert torch.equal(build(range(3)).merge_word_logits(logits), logits)
    assert torch.equal(build([0, 1, 2]).merge_word_logits(logits), logits)


def test_hopeless_words_have_finite_logits() -> None:
    by_label = build([0, 1, 1]).merge_word_logits(torch.tensor([[0.0, -500.0, -600.0]]))
    torch.testing.assert_close(by_label.exp(), torch.tensor([[1.0, 0.0]]))
    assert by_label.isfinite().all()


def test_the_whole_way_from_samples_to_labels() -> None:
    recogniser, samples = build([0, 1, 1, 2, 1]), random_samples(3)
    recogniser.feature_mean.fill_(-20.0)
    recogniser.feature_std.fill_(30.0)
    words = recogniser.network(recogniser.extract_features(samples)).softmax(dim=1)
    expected = torch.stack([words[:, 0], words[:, [1, 2, 4]].sum(dim=1), words[:, 3]], dim=1)
    torch.testing.assert_close(recogniser(samples).softmax(dim=1), expected)
    assert expected.std(dim=0).min() > 1e-4


def test_which_word_is_of_which_label_is_not_among_the_weights() -> None:
    weights = build([0, 1, 1]).state_dict()
    assert {name for name in weights if not name.startswith("network.")} == {
        "feature_mean",
        "feature_std",
    }


# Sizes


def make_network(
    arch: str,
    hidden_size: int = 8,
    num_layers: int = 2,
    readout: str = "mean",
    step_frames: int = 2,
) -> Network:
    config = NetworkConfig(arch, hidden_size, num_layers, readout=readout, step_frames=step_frames)
    return build_network(config, 40, 3)


# Weights, biases and multiply-adds a step of two layers of 8 units, by hand: each gate of a layer
# multiplies the 8 values that it is given, and the 8 states but for mingru. Without a front end it
# is given 40 features. Blocks of four frames: 8 rows of 4 * 40 weights, and scales and shifts.
LAYER, FIRST = 8 * (8 + 8), 8 * (40 + 8)
BLOCKS, NORM = 8 * 4 * 40, 2 * 8
ONE_WAY = {
    # arch: (weights, other parameters)
    "rnn": (FIRST + LAYER, 2 * 16),  # torch has two biases
    "fastrnn": (BLOCKS + 2 * LAYER, NORM + 2 * (8 + 2)),  # one bias, alpha, beta
    "lstm": (BLOCKS + 4 * 2 * LAYER, NORM + 2 * 4 * 16),
    "gru": (BLOCKS + 3 * 2 * LAYER, NORM + 2 * 3 * 16),
    # gate and candidate, from the input alone
    "mingru": (BLOCKS + 2 * (8 * 8 + 8 * 8), NORM + 2 * 2 * 8),
    # 32 rows on 8 or 4 inputs and 4 projected states, and 4 rows that project 8 to 4
    "lstmp": (BLOCKS + 32 * (8 + 4) + 4 * 8 + 32 * (4 + 4) + 4 * 8, NORM + 2 * 4 * 16),
}


@pytest.mark.parametrize("arch", ONE_WAY)
def test_one_direction_by_hand(arch: str) -> None:
    weights, others = ONE_WAY[arch]
    size = 4 if arch == "lstmp" else 8
    network = make_network(arch)
    assert count_parameters(network) == weights + others + 3 * size + 3
    features, n_steps = torch.zeros(1, 51, 40), 51 if arch == "rnn" else 14  # (51 + 3) / 4, up
    network.eval()
    assert count_multiply_adds(network, features) == n_steps * weights + 3 * size
    # Attention: once a step each state on each, and their score.
    attention = make_network(arch, readout="attention").eval()
    assert count_parameters(attention) == count_parameters(network) + size * size + 2 * size
    total = n_steps * (weights + size * size + size) + 3 * size
    assert count_multiply_adds(attention, features) == total


@pytest.mark.parametrize(("arch", "n_gates"), [("birnn", 1), ("bilstm", 4), ("bigru", 3)])
def test_two_directions_by_hand(arch: str, n_gates: int) -> None:
    # The second layer is given the 16 states of both directions.
    is_plain = arch == "birnn"
    weights = 2 * n_gates * 8 * ((40 if is_plain else 8) + 8 + (16 + 8))
    front, n_steps = (0, 51) if is_plain else (BLOCKS, 14)
    others = 2 * 2 * 2 * n_gates * 8 + (0 if is_plain else NORM)
    network = make_network(arch).eval()
    assert count_parameters(network) == front + weights + others + 3 * 16 + 3
    expected = n_steps * (front + weights) + 3 * 16
    assert count_multiply_adds(network, torch.zeros(1, 51, 40)) == expected


@pytest.mark.parametrize(("step_frames", "n_steps"), [(2, 26), (4, 13)])
@pytest.mark.parametrize(
    ("arch", "n_gates", "n_directions"),
    [("crnn", 3, 1), ("att-bigru", 3, 2), ("att-bilstm", 4, 2)],
)
def test_front_ends_by_hand(
    arch: str, n_gates: int, n_directions: int, step_frames: int, n_steps: int
) -> None:
    # 16 units: 4 maps, then 8. 51 frames of 40 bands become 26 of 20, then 26 or 13 of 10.
    kernels = [1 * 4 * 25, 4 * 4 * 9, 4 * 8 * 9, 8 * 8 * 9]
    places = [26 * 20, 26 * 20, n_steps * 10, n_steps * 10]
    project = 8 * 10 * 16
    size = 16 * n_directions
    recurrent = n_directions * n_gates * 16 * ((16 + 16) + (size + 16))
    n_heads = 4 if n_directions == 2 else 1
    attention = size * (size // n_heads) + (size // n_heads) * n_heads
    network = make_network(arch, hidden_size=16, readout="attention", step_frames=step_frames)
    norms, biases = 2 * (4 + 4 + 8 + 8), 16 + 2 * 2 * n_directions * n_gates * 16
    parameters = sum(kernels) + norms + project + biases + recurrent
    parameters += attention + size // n_heads + 3 * size + 3
    assert count_parameters(network) == parameters
    by_convolutions = sum(n * k for n, k in zip(places, kernels, strict=True))
    total = by_convolutions + n_steps * (project + recurrent + attention) + 3 * size
    assert count_multiply_adds(network.eval(), torch.zeros(1, 51, 40)) == total


def test_every_network_is_counted_by_hand() -> None:
    counted = {*ONE_WAY, "birnn", "bilstm", "bigru", "crnn", "att-bigru", "att-bilstm"}
    assert counted == set(NETWORKS)


def test_counting_leaves_no_hook_behind() -> None:
    network = make_network("att-bigru").eval()
    one, two = (count_multiply_adds(network, torch.zeros(1, 20, 40)) for _ in range(2))
    assert one == two > 0
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("arch", NETWORKS)
@pytest.mark.parametrize("size", SIZES)
def test_the_largest_network_below_each_size(arch: str, size: str) -> None:
    kind = dataclasses.replace(FEATURES, kind=feature_kind(arch))
    start = NetworkConfig(arch=arch, num_layers=2, dropout=0.1, readout="attention")
    fitted = fit_size(size, kind, start, n_outputs=35)
    assert dataclasses.replace(fitted, hidden_size=start.hidden_size) == start

    def n_parameters(hidden_size: int) -> int:
        config = dataclasses.replace(fitted, hidden_size=hidden_size)
        with torch.device("meta"):
            return count_parameters(build_network(config, kind.n_features, 35))

    assert fitted.hidden_size % 4 == 0
    assert n_parameters(fitted.hidden_size) < SIZES[size] <= n_parameters(fitted.hidden_size + 4)


def test_more_layers_and_outputs_leave_less_room() -> None:
    def hidden_size(num_layers: int, n_outputs: int) -> int:
        network = NetworkConfig(arch="gru", num_layers=num_layers, readout="mean")
        return fit_size("tiny", FEATURES, network, n_outputs).hidden_size

    # One layer of n: 162 n in front, 6 n**2 + 6 n, 10 n + 10 is 28 794 at 56 and 32 290 at 60.
    assert hidden_size(1, 10) == 56
    assert 0 < hidden_size(3, 10) < hidden_size(1, 10)
    assert 0 < hidden_size(1, 200) < hidden_size(1, 10)


def test_a_size_that_even_the_smallest_network_exceeds() -> None:
    with pytest.raises(ConfigError) as error:
        fit_size("tiny", FEATURES, NetworkConfig(arch="gru"), n_outputs=10_000)
    assert str(error.value) == (
        "size: gru with 10000 outputs does not fit below 30,000 parameters; choose a larger one"
    )


def test_an_unknown_size_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError) as error:
        fit_size("huge", FEATURES, NETWORK, n_outputs=3)
    assert str(error.value) == "size: no 'huge'; there are tiny, small, base"
