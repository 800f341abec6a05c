"""The zoo: what each network depends on, its initial weights and its readout."""

import math

import pytest
import torch
from torch import Tensor, nn

from speechcls.config import READOUTS, NetworkConfig
from speechcls.errors import ConfigError
from speechcls.networks.frontends import (
    BlockFrontEnd,
    CausalConvFrontEnd,
    ConvFrontEnd,
    FrontEnd,
)
from speechcls.networks.recurrent import Readout, Recurrent
from speechcls.networks.zoo import NETWORKS, build_network, describe, feature_kind

N_FEATURES = 40
BOTH_WAYS = {"birnn", "bilstm", "bigru", "att-bigru", "att-bilstm"}
WITHOUT_FRONT_END = {"rnn", "birnn"}


def build(arch: str, **settings: object) -> Recurrent:
    values = {"hidden_size": 6, "num_layers": 2, **settings}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(NetworkConfig(arch=arch, **values), N_FEATURES, 3)  # type: ignore[arg-type]
    assert isinstance(network, Recurrent)
    return network


def random_features(n_clips: int, n_frames: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_clips, n_frames, N_FEATURES, generator=generator)


@pytest.mark.parametrize("arch", NETWORKS)
@pytest.mark.parametrize("readout", [name for name in READOUTS if name != "stream"])
def test_logits_of_every_network(arch: str, readout: str) -> None:
    network = build(arch, readout=readout).eval()
    features = random_features(4, 11)
    logits = network(features)
    assert logits.shape == (4, 3)
    torch.testing.assert_close(logits[1:2], network(features[1:2]), atol=1e-6, rtol=1e-5)
    assert logits.std(dim=0).min() > 1e-4  # the clip matters


STREAMING = {"rnn": 1, "lstm": 4, "gru": 4, "crnn": 2}  # frames a step


@pytest.mark.parametrize("arch", NETWORKS)
def test_only_causal_networks_with_states_can_stream(arch: str) -> None:
    assert NETWORKS[arch].can_stream == (arch in STREAMING)
    if arch not in STREAMING:
        with pytest.raises(ConfigError) as raised:
            build(arch, readout="stream")
        assert str(raised.value) == (
            f"arch: {arch} cannot run on a stream; rnn, lstm, gru, crnn can"
        )
        return
    network = build(arch, readout="stream").eval()
    assert network.frames_per_step == STREAMING[arch]
    # Frames at the end that fill no whole step are dropped.
    assert network(random_features(4, 11)).shape == (4, 11 // STREAMING[arch], 3)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("arch", STREAMING)
def test_a_stream_ends_as_the_clip_does(arch: str, num_layers: int) -> None:
    stream = build(arch, readout="stream", num_layers=num_layers).eval()
    clip = build(arch, readout="last", num_layers=num_layers).eval()
    clip.load_state_dict(stream.state_dict())
    features = random_features(2, 28)
    # The last block of a clip begins with frame 4 i and is filled up; that of a stream ends there.
    n_frames = 29 - STREAMING[arch]
    torch.testing.assert_close(stream(features)[:, -1], clip(features[:, :n_frames]))


@pytest.mark.parametrize("cuts", [(4,), (4, 8, 12), (20, 24)])
@pytest.mark.parametrize("arch", STREAMING)
def test_pieces_of_a_stream_are_the_whole(arch: str, cuts: tuple[int, ...]) -> None:
    network = build(arch, readout="stream").eval()
    features = random_features(2, 28)
    states, pieces = network.states(2), []
    for start, end in zip((0, *cuts), (*cuts, 28), strict=True):
        piece, states = network.step(features[:, start:end], states)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, dim=1), network(features), atol=1e-6, rtol=1e-5)
    # A stream does remember: from nothing the second piece is another.
    assert not torch.allclose(network(features[:, cuts[0] :])[:, 0], network(features)[:, -1])


@pytest.mark.parametrize("arch", NETWORKS)
def test_one_direction_never_looks_ahead_and_two_do(arch: str) -> None:
    network = build(arch).eval()
    assert network.bidirectional == (arch in BOTH_WAYS)

    def states(features: Tensor) -> Tensor:
        """What the readout is given."""
        return network.recurrence(network.recurrence_inputs(features))[0]  # type: ignore[no-any-return]

    features = random_features(2, 41)
    changed = features.clone()
    changed[:, 21:] = random_features(2, 20, seed=1)
    # With a front end one state stands for two or four frames: state 5 of blocks for frame 20.
    n_before = math.ceil(21 / network.frames_per_step)
    is_same = torch.isclose(states(features), states(changed), atol=1e-6, rtol=0).all(dim=2)
    assert bool(is_same[:, :n_before].all()) == (arch not in BOTH_WAYS)
    assert not is_same[:, n_before:].any()


@pytest.mark.parametrize("arch", NETWORKS)
def test_logits_depend_on_every_frame(arch: str) -> None:
    network = build(arch).eval()
    features = random_features(1, 13).requires_grad_()
    network(features).square().sum().backward()
    assert features.grad is not None
    assert (features.grad.abs().amax(dim=2) > 0).all()


# Starts


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


def test_a_projected_lstm_starts_so_too() -> None:
    weights = build("lstmp").recurrence.state_dict()
    assert weights["weight_hr_l0"].shape == (3, 6)  # half of 6
    for gate in weights["weight_hh_l1"].split(6):
        torch.testing.assert_close(gate.T @ gate, torch.eye(3), atol=1e-5, rtol=0)
    assert weights["bias_ih_l0"].tolist() == [0.0] * 6 + [1.0] * 6 + [0.0] * 12
    assert not weights["bias_hh_l0"].any()


def test_fastrnn_starts_leaking_slowly_and_mingru_taking_little() -> None:
    fastrnn, mingru = (dict(build(arch).named_parameters()) for arch in ("fastrnn", "mingru"))
    for number in (0, 1):
        layer = f"recurrence.layers.{number}."
        alpha, beta = (fastrnn[f"{layer}{x}_logit"].sigmoid().item() for x in ("alpha", "beta"))
        assert (alpha, beta) == (pytest.approx(0.2689, abs=1e-4), pytest.approx(0.8808, abs=1e-4))
        recurrent = fastrnn[f"{layer}weight_hh"].detach()
        torch.testing.assert_close(recurrent @ recurrent.T, torch.eye(6), atol=1e-5, rtol=0)
        assert mingru[f"{layer}update.bias"].tolist() == [-2.0] * 6


# Front ends


@pytest.mark.parametrize(("n_frames", "n_blocks"), [(1, 1), (2, 2), (5, 2), (6, 3), (101, 26)])
def test_blocks_hold_every_frame(n_frames: int, n_blocks: int) -> None:
    front_end = BlockFrontEnd(N_FEATURES, 10).eval()
    assert front_end(random_features(2, n_frames)).shape == (2, n_blocks, 10)


def test_blocks_by_hand() -> None:
    front_end = BlockFrontEnd(2, 2).eval()
    with torch.no_grad():
        front_end.project.weight.copy_(
            # (size, n_features, frame in the block)
            torch.tensor([[[1.0, 2, 3, 4], [0, 0, 0, 10]], [[0, 0, 0, -1], [0, 0, 0, 0]]])
        )
        front_end.norm.running_mean.copy_(torch.tensor([1.0, 0.0]))
        front_end.norm.running_var.fill_(1 - front_end.norm.eps)
    frames = torch.tensor([[[1.0, 1], [2, 0], [3, 0], [4, 0], [5, -4], [6, 0]]])
    # Blocks of frames (-, -, -, 0), (1, 2, 3, 4) and (5, -, -, -), less the mean of 1:
    first = 4 * 1 + 10 * 1 - 1
    second = 1 * 2 + 2 * 3 + 3 * 4 + 4 * 5 - 10 * 4 - 1  # -1, which ReLU makes 0
    assert second == -1
    expected = torch.tensor([[[first, 0.0], [0.0, 0.0], [6.0 - 1, 0.0]]])
    torch.testing.assert_close(front_end(frames), expected)


@pytest.mark.parametrize("step_frames", [2, 4])
@pytest.mark.parametrize("kind", [ConvFrontEnd, CausalConvFrontEnd])
def test_a_front_end_leaves_a_half_or_a_quarter_of_the_frames(
    kind: type[FrontEnd], step_frames: int
) -> None:
    front_end = kind(N_FEATURES, 10, step_frames).eval()
    assert front_end.frames_per_step == step_frames
    for n_frames in (*range(1, 10), 100, 101):
        n_steps = math.ceil(n_frames / step_frames)
        assert front_end(random_features(2, n_frames)).shape == (2, n_steps, 10)


@pytest.mark.parametrize("n_features", [1, 3, 4, 5, 13, 40])
def test_a_front_end_takes_any_number_of_bands(n_features: int) -> None:
    front_end = ConvFrontEnd(n_features, 10).eval()
    # size 10: 4 maps, then 8, in each of n / 4 bands, rounded up
    assert front_end.project.in_features == 8 * math.ceil(n_features / 4)
    assert front_end(torch.ones(1, 9, n_features)).shape == (1, 3, 10)


@pytest.mark.parametrize("step", [2, 4])
@pytest.mark.parametrize("place", [0, 1, 4, 7])
def test_a_causal_front_end_never_looks_ahead(place: int, step: int) -> None:
    features = random_features(1, 33)
    for kind in (CausalConvFrontEnd, ConvFrontEnd):
        torch.manual_seed(0)
        front_end = kind(N_FEATURES, 12, step).eval()
        ahead, own = features.clone(), features.clone()
        ahead[:, step * place + 1 :] += 1.0
        own[:, step * place] += 1.0
        before = front_end(features)
        stays = torch.equal(front_end(ahead)[:, : place + 1], before[:, : place + 1])
        assert stays == kind.is_causal
        moved = (front_end(own) - before).abs().amax(dim=2)[0]
        assert moved[place] > 1e-4  # output i stands for frame step * i
        assert bool((moved[:place] == 0).all()) or not kind.is_causal


def test_a_convolution_adds_its_input_where_the_shapes_agree() -> None:
    stages = CausalConvFrontEnd(8, 16).eval().stages
    maps = torch.rand(1, 4, 6, 8)  # size 16: 4 maps, then 8
    with torch.no_grad():
        for stage in stages:
            stage.convolution.weight.zero_()  # what is left is norm(0) = 0 and the input
        assert torch.equal(stages[1](maps), maps)
        assert stages[2](maps).shape == (1, 8, 3, 4)
        assert not stages[2](maps).any()
        assert not stages[0](maps[:, :1]).any()


# Readouts


def test_last_readout_takes_both_ends() -> None:
    outputs = torch.arange(24.0).reshape(1, 3, 8)
    both = Readout("last", 8, bidirectional=True)(outputs)
    assert both.tolist() == [[16, 17, 18, 19, 4, 5, 6, 7]]
    assert Readout("last", 8, bidirectional=False)(outputs).tolist() == [list(range(16, 24))]


def test_mean_readout() -> None:
    outputs = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])
    assert Readout("mean", 2, bidirectional=False)(outputs).tolist() == [[2.0, 4.0]]


@pytest.mark.parametrize("n_heads", [1, 2, 4])
def test_attention_readout_stays_within_the_frames(n_heads: int) -> None:
    torch.manual_seed(0)
    outputs = torch.randn(2, 9, 4)
    readout = Readout("attention", 4, False, n_heads)
    vector = readout(outputs)
    assert (vector <= outputs.amax(dim=1)).all() and (vector >= outputs.amin(dim=1)).all()
    same = outputs[:, :1].expand(-1, 9, -1)
    torch.testing.assert_close(readout(same), same[:, 0])


def test_four_heads_by_hand() -> None:
    readout = Readout("attention", 8, bidirectional=True, n_heads=4)
    odds = torch.tensor([1.0, 3.0, 9.0, 1 / 3])  # of the second frame, head by head
    with torch.no_grad():
        readout.project.weight.zero_()
        readout.project.bias.zero_()
        readout.project.weight[0, 0] = 1.0
        readout.score.weight.copy_(torch.stack([2 * odds.log(), torch.ones(4)], dim=1))
    # tanh of the first channel is 0 in one frame and 1/2 in the other, so scores are 0 and ln odds.
    first = [0.0, 8.0, 0.0, 4.0, 10.0, 0.0, 4.0, 0.0]
    second = [math.atanh(0.5), 4.0, 8.0, 8.0, 0.0, 20.0, 0.0, 8.0]
    vector = readout(torch.tensor([[first, second]]))
    # The second frame weighs 1/2, 3/4, 9/10 and 1/4 in the channels 0-1, 2-3, 4-5 and 6-7.
    expected = [[math.atanh(0.5) / 2, 6.0, 6.0, 7.0, 1.0, 18.0, 3.0, 2.0]]
    torch.testing.assert_close(vector, torch.tensor(expected))


@pytest.mark.parametrize("arch", ["att-bigru", "att-bilstm"])
def test_heads_must_divide_the_states(arch: str) -> None:
    expected = f"hidden_size: 5 is not possible; {arch} has 4 heads, which must divide 10"
    with pytest.raises(ConfigError) as error:
        build(arch, hidden_size=5)
    assert str(error.value) == expected
    assert build(arch, hidden_size=5, readout="mean").output.in_features == 10
    assert build(arch, hidden_size=6).readout.n_heads == 4


@pytest.mark.parametrize("arch", NETWORKS)
def test_the_smallest_network_there_is(arch: str) -> None:
    hidden_size = 2 if arch == "lstmp" else 1
    network = build(arch, hidden_size=hidden_size, num_layers=1, readout="mean").eval()
    assert network(random_features(2, 5)).shape == (2, 3)


def test_one_unit_cannot_be_halved() -> None:
    with pytest.raises(ConfigError) as error:
        build("lstmp", hidden_size=1)
    assert str(error.value) == "hidden_size: 1 is not possible; it must be at least 2"


def test_features_that_suit() -> None:
    assert {arch for arch in NETWORKS if feature_kind(arch) == "mfcc"} == WITHOUT_FRONT_END
    assert {feature_kind(arch) for arch in NETWORKS} == {"log-mel", "mfcc"}
    with pytest.raises(ConfigError, match="arch: no 'elstm'; there are rnn, fastrnn, lstm, lstmp"):
        feature_kind("elstm")


def test_every_network_says_what_it_is() -> None:
    assert describe("gru") == "Cho et al. 2014."
    assert describe("bilstm") == "Both directions, Graves & Schmidhuber 2005."
    assert describe("crnn") == "Causal convolutions, then a GRU, Arik et al. 2017."
    lines = [describe(arch) for arch in NETWORKS]
    assert len(set(lines)) == len(lines)
    assert all(line.endswith(".") for line in lines)
