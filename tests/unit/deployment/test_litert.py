"""What of the export to LiteRT needs no LiteRT: how numbers are rounded, and that it is missing."""

import sys
from pathlib import Path

import numpy as np
import pytest

from speechcls.artifact.store import load_artifact
from speechcls.deployment.export import export_model
from speechcls.errors import ExportError
from speechcls.litert.features import n_frames_of
from speechcls.litert.file import Rounding, Tensor
from speechcls.litert.graph import UNIT, Graph
from speechcls.litert.network import FORMS, form_of
from speechcls.networks.zoo import NETWORKS


def test_numbers_are_rounded_to_the_nearest_integer_within_its_type():
    rounding = Rounding("int8", 0.5, -10)
    integers = rounding(np.array([0.0, 1.0, -2.3, 1_000.0, -1_000.0]))
    assert integers.dtype == np.int8
    assert integers.tolist() == [-10, -8, -15, 127, -128]


@pytest.fixture
def no_file(monkeypatch):
    """Graphs whose file is none, so that no schema is needed."""
    monkeypatch.setattr("speechcls.litert.graph.File", lambda: None)


def test_results_are_rounded_by_their_ranges(no_file):
    ranges = {"a": (-1.0, 3.0), "b": (2.0, 5.1)}
    assert Graph().rounding("a") is None
    eighth = Graph(ranges, "int8")
    assert eighth.rounding(UNIT) == Rounding("int8", 2**-7)
    # 256 integers over what there is, with one of them for zero
    assert eighth.rounding("a") == Rounding("int8", 4 / 255, -64)
    assert eighth.rounding("b") == Rounding("int8", 5.1 / 255, -128)
    sixteenth = Graph(ranges, "int16")
    assert sixteenth.rounding(UNIT) == Rounding("int16", 2**-15)
    assert sixteenth.rounding("a") == Rounding("int16", 2 * 3.0 / 32767)


def test_a_part_gives_the_same_keys_again(no_file):
    graph = Graph()
    for name in ("step", "step", "other"):
        with graph.part(name):
            graph.to_integers(Tensor(7, (1,)))
    assert graph.keys == {"step.1": [7, 7], "other.1": [7]}


def test_frames_are_whole_ones():
    config = load_artifact("commands-stream").features  # 512 samples, 160 from one to the next
    assert [n_frames_of(config, n) for n in (512, 671, 672, 992)] == [1, 1, 2, 4]


def test_every_form_is_of_a_network_that_there_is():
    assert set(FORMS) <= set(NETWORKS)
    assert form_of(load_artifact("commands-tiny")) == FORMS["att-bigru"]


def test_without_the_package_it_says_what_installs_it(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ExportError, match=r"run pip install 'speechcls\[tflite\]'"):
        export_model(load_artifact("commands-tiny"), "tflite", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
