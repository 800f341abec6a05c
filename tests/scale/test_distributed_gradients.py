"""Two processes have the gradients, the statistics and the metrics of one, for every network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechcls.networks.zoo import NETWORKS

SUPPORT = Path(__file__).parents[1] / "support"
NAMES = [*NETWORKS, *(f"{name} of a stream" for name, own in NETWORKS.items() if own.can_stream)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each of two processes found of each network."""
    folder = tmp_path_factory.mktemp("found")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += ["2", SUPPORT / "shared_gradients.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_every_network_was_tried(found):
    assert [sorted(own) for own in found] == [sorted(NAMES)] * 2


@pytest.mark.parametrize("name", NAMES)
def test_the_gradients_are_those_of_one_process(name, found):
    for own in found:
        assert own[name]["gradient"] < 1e-5
        assert own[name]["relative"] < 1e-4  # of the smallest tensors too
        assert own[name]["loss"] < 1e-6
        assert own[name]["features"] < 1e-3  # dB: rows of other batches are transformed with them
    rows = [own[name]["rows"] for own in found]
    whole = [n for n, _ in rows[0]]
    assert whole[-1] == 1
    assert [first + second for (_, first), (_, second) in zip(*rows, strict=True)][:-1] == whole[
        :-1
    ]
    assert any(first != second for (_, first), (_, second) in zip(*rows, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_leaves_the_same_state_in_all_processes(name, found):
    first, second = (own[name]["shared"] for own in found)
    assert first == second  # weights, statistics of batch norms, metrics: to the last bit
    (alone, of_alone), (shared, of_shared) = found[0][name]["alone"], first
    assert alone.keys() == shared.keys()
    for tensor, values in alone.items():
        assert shared[tensor] == pytest.approx(values, rel=1e-4, abs=1e-4), tensor
    assert of_shared.keys() == of_alone.keys()
    for metric, value in of_alone.items():
        expected = value if isinstance(value, str) else pytest.approx(value, rel=1e-4)
        assert of_shared[metric] == expected, metric
