"""The cells that torch does not have: equations, gradients, and the exported graph."""

import math
import subprocess
import sys
from math import log

import numpy as np
import pytest
import torch
from torch import nn

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError
from speechcls.export.onnx import export_onnx, export_stream
from speechcls.networks.layers import (
    CELLS,
    FastRNNLayer,
    MinGRULayer,
    ProjectedLSTM,
    RecurrentLayer,
    StackedLayers,
    scan,
)
from speechcls.networks.recogniser import build_recogniser
from speechcls.runtime.session import open_session

LN3 = log(3)  # sigmoid(ln 3) = 3/4, tanh(ln 3) = 4/5
FEATURES = FeatureConfig(duration_s=0.5)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def by_loop(keep, take):
    """What ``scan`` gives, frame by frame."""
    h, outputs = torch.zeros_like(take[:, 0]), []
    for frame in range(take.shape[1]):
        h = keep[:, frame] * h + take[:, frame]
        outputs.append(h)
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 4, 5, 63, 64, 65, 100])
def test_scan_is_the_loop(n_frames, generator):
    # Factors around 1, so that what the first frame took in still counts in the last.
    keep = 0.95 + 0.1 * torch.rand(2, n_frames, 3, generator=generator, dtype=torch.float64)
    take = torch.randn(2, n_frames, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(scan(keep, take), by_loop(keep, take), rtol=0, atol=1e-10)


def test_scan_by_hand():
    keep, take = torch.tensor([[[9.0], [2], [0.5]]]), torch.tensor([[[3.0], [1], [10]]])
    # From zero, so that the first factor has nothing to act on: 3, 2·3 + 1, 7/2 + 10.
    assert scan(keep, take).flatten().tolist() == [3, 7, 13.5]


@pytest.mark.parametrize("n_frames", [1, 2, 3, 100])
def test_gradients_of_the_scan_are_those_of_the_loop(n_frames, generator):
    gradients = []
    keep = 0.95 + 0.1 * torch.rand(2, n_frames, 3, generator=generator, dtype=torch.float64)
    take = torch.randn(2, n_frames, 3, generator=generator, dtype=torch.float64)
    weights = torch.randn(2, n_frames, 3, generator=generator, dtype=torch.float64)
    for function in (scan, by_loop):
        leaves = keep.clone().requires_grad_(), take.clone().requires_grad_()
        gradients.append(torch.autograd.grad((weights * function(*leaves)).sum(), leaves))
    for of_scan, of_loop in zip(*gradients, strict=True):
        torch.testing.assert_close(of_scan, of_loop, rtol=0, atol=1e-9)


def test_fastrnn_steps_by_hand():
    layer = FastRNNLayer(n_inputs=1, hidden_size=1)
    values = {"from_input.weight": [[1.0]], "from_input.bias": [LN3], "weight_hh": [[-4.0]]}
    values |= {"alpha_logit": LN3, "beta_logit": 0.0}
    layer.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
    # alpha = 3/4, beta = 1/2: h = 3/4·0.8 = 0.6, since h starts at zero;
    # then 2.4 + ln 3 - 4·0.6 = ln 3, so h = 1/2·0.6 + 3/4·0.8.
    outputs = layer(torch.tensor([[[0.0], [2.4]]]))
    torch.testing.assert_close(outputs, torch.tensor([[[0.6], [0.9]]]))


def test_fastrnn_starts_leaking_slowly():
    layer = FastRNNLayer(3, 4)
    alpha, beta = torch.sigmoid(layer.alpha_logit), torch.sigmoid(layer.beta_logit)
    assert [alpha.item(), beta.item()] == pytest.approx([0.27, 0.88], abs=0.003)
    torch.testing.assert_close(layer.weight_hh @ layer.weight_hh.T, torch.eye(4))


def test_mingru_steps_by_hand():
    layer = MinGRULayer(n_inputs=1, hidden_size=1)
    values = {"update.weight": [[1.0]], "update.bias": [-LN3]}
    values |= {"candidate.weight": [[2.0]], "candidate.bias": [4.0]}
    layer.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
    # z = 1/4 and c = 4, so h = 1; then z = 3/4 and c = 4 ln 3 + 4, so h = 1/4 + 3/4·c.
    outputs = layer(torch.tensor([[[0.0], [2 * LN3]]]))
    torch.testing.assert_close(outputs, torch.tensor([[[1.0], [3.25 + 3 * LN3]]]))


@pytest.mark.parametrize("layer", [FastRNNLayer, MinGRULayer])
def test_gradients_of_the_last_frame_reach_the_first_and_every_weight(layer):
    torch.manual_seed(0)
    network = StackedLayers(layer, 3, 4, num_layers=2)
    inputs = torch.randn(2, 100, 3, requires_grad=True)
    outputs, _ = network(inputs)
    outputs[:, -1].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().min() > 0, name
    assert inputs.grad.isfinite().all()
    assert inputs.grad[:, 0].abs().min() > 1e-7  # 100 frames back; what a frame adds is about 0.1


@pytest.mark.parametrize("layer", [FastRNNLayer, MinGRULayer])
def test_stacked_layers_are_one_after_the_other(layer):
    torch.manual_seed(0)
    network = StackedLayers(layer, 3, 4, num_layers=3, dropout=0.5).eval()
    inputs = torch.randn(2, 7, 3)
    outputs, states = network(inputs)
    expected = [network.layers[0](inputs)]
    expected += [network.layers[1](expected[0])]
    expected += [network.layers[2](expected[1])]
    assert torch.equal(outputs, expected[2])
    assert torch.equal(states, torch.stack([outputs[:, -1] for outputs in expected]))


class Sum(RecurrentLayer):
    """h_t = x_t + h_(t-1), with a state to start from."""

    def forward(self, inputs, state=None):
        start = 0 if state is None else state[:, None]
        return start + inputs.cumsum(dim=1)


def test_stacked_layers_go_on_from_their_states():
    network = StackedLayers(Sum, 2, 2, num_layers=2)
    inputs = torch.arange(12.0).reshape(1, 6, 2)
    whole, last = network(inputs)
    first, states = network(inputs[:, :2])
    second, states = network(inputs[:, 2:], states)
    assert torch.equal(torch.cat([first, second], dim=1), whole)
    assert torch.equal(states, last)
    # Sums of sums of 0, 2, 4: 0, 2, 6 and 0, 2, 8.
    assert whole[0, :3, 0].tolist() == [0, 2, 8]


def test_every_cell_is_what_it_says():
    for name, cell in CELLS.items():
        assert cell.name == name
        torch.manual_seed(0)
        layers = cell.layers(3, 4, 2, dropout=0.0).eval()
        with torch.no_grad():
            outputs, states = layers(torch.randn(2, 5, 3))
        assert outputs.shape == (2, 5, 4 // cell.output_divisor), name
        if cell.can_stream:
            states = states if cell.n_states > 1 else (states,)
            assert [state.shape for state in states] == [(2, 2, 4)] * cell.n_states, name
        if cell.about_bidirectional:
            both = cell.layers(3, 4, 2, dropout=0.0, bidirectional=True)
            assert both(torch.randn(2, 5, 3))[0].shape == (2, 5, 8), name


def test_dropout_is_between_the_layers_only():
    torch.manual_seed(0)
    inputs = torch.randn(2, 7, 3)
    single = StackedLayers(MinGRULayer, 3, 4, num_layers=1, dropout=0.9)
    assert torch.equal(single(inputs)[0], single.eval()(inputs)[0])
    double = StackedLayers(MinGRULayer, 3, 4, num_layers=2, dropout=0.9)
    assert not torch.equal(double(inputs)[0], double.eval()(inputs)[0])


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("hidden_size", [2, 5])
def test_projected_lstm_is_the_one_of_torch(num_layers, hidden_size):
    torch.manual_seed(0)
    ours = ProjectedLSTM(3, hidden_size, num_layers, batch_first=True)
    torchs = nn.LSTM(3, hidden_size, num_layers, batch_first=True, proj_size=hidden_size // 2)
    torchs.load_state_dict(ours.state_dict())
    inputs = torch.randn(4, 9, 3)
    outputs, (h, c) = ours(inputs)
    expected, (expected_h, expected_c) = torchs(inputs)
    assert outputs.shape == (4, 9, hidden_size // 2)
    for found, wanted in ((outputs, expected), (h, expected_h), (c, expected_c)):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_projected_lstm_has_no_warning_for_people():
    # Torch warns once a process, so this takes one of its own.
    code = (
        "import torch; from speechcls.networks.layers import ProjectedLSTM;"
        "print(*ProjectedLSTM(3, 4, 1, batch_first=True)(torch.zeros(1, 2, 3))[0].shape)"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1 2 2\n", "")


def test_projected_lstm_needs_something_to_project():
    with pytest.raises(ConfigError, match="hidden_size: 1 is not possible; it must be at least 2"):
        ProjectedLSTM(3, 1, 1)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("arch", ["fastrnn", "mingru", "lstmp"])
def test_exported_graph_is_the_network_at_any_length(arch, num_layers, generator):
    config = NetworkConfig(arch=arch, hidden_size=8, num_layers=num_layers)
    recogniser = build_recogniser(FEATURES, config, range(3), seed=0).eval()
    rng = np.random.default_rng(0)

    def clips(duration_s):
        time = np.arange(round(duration_s * 16_000)) / 16_000
        tones = np.sin(2 * np.pi * np.array([[300.0], [900.0], [2_000.0], [5_000.0]]) * time)
        noise = rng.standard_normal(tones.shape)
        return (0.3 * tones + 0.02 * noise).astype(np.float32)

    with torch.no_grad():
        features = recogniser.features(torch.from_numpy(clips(0.5)))
        recogniser.feature_mean.copy_(features.mean(dim=(0, 1)))
        recogniser.feature_std.copy_(features.std(dim=(0, 1)))
        for parameter in recogniser.network.parameters():
            # Away from the start, where biases are zero and states are small.
            n_inputs = parameter[0].numel() if parameter.dim() > 1 else 1
            change = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.add_(change / math.sqrt(n_inputs))
        recogniser.network.output.weight.mul_(5)
    session = open_session(export_onnx(recogniser, ["down", "no", "yes"]))
    for duration_s in (0.2, 1.7):
        samples = clips(duration_s)
        with torch.no_grad():
            expected = recogniser(torch.from_numpy(samples)).softmax(dim=1).numpy()
        assert expected.std(axis=0).max() > 0.01  # the clip matters
        (answer,) = session.run(None, {"samples": samples})
        np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("arch", ["fastrnn", "mingru", "lstmp", "gru"])
def test_exporting_leaves_the_recogniser_as_it_is(arch):
    config = NetworkConfig(arch=arch, hidden_size=8, num_layers=1)
    recogniser = build_recogniser(FEATURES, config, range(3), seed=0).eval()
    layer = recogniser.network.recurrence
    attributes, filters = dict(vars(layer)), recogniser.features.filters.clone()
    forward = type(layer).forward
    samples = 0.1 * torch.randn(2, 8_000)
    with torch.no_grad():
        expected = recogniser(samples)
        export_onnx(recogniser, ["down", "no", "yes"])
        export_stream(recogniser, ["down", "no", "yes"])
        assert torch.equal(recogniser(samples), expected)
    assert vars(layer).keys() == attributes.keys()
    assert all(vars(layer)[name] is value for name, value in attributes.items() if callable(value))
    assert type(layer).forward is forward
    assert torch.equal(recogniser.features.filters, filters)
    assert recogniser.features.onnx_power is None
