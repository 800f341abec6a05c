"""A recurrent cell that is registered in two modules of the library, and nowhere else, is whole."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import light_gru
import pytest
import torch
from common_learning import SMALL, read_page, write_pitches

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.networks.recurrent import plain_network
from speechcls.networks.size import count_multiply_adds, count_parameters

REPOSITORY = Path(__file__).parents[3]


def run(*arguments):
    """The command line with the new cell, in a process of its own."""
    done = subprocess.run(
        [sys.executable, light_gru.__file__, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pitches(tmp_path_factory.mktemp("data"), noise_s=5.0)


def test_a_new_cell_trains_predicts_and_is_explained_gate_by_gate(data, tmp_path):
    model, clip = tmp_path / "model", data / "low" / "s00_nohash_0.wav"
    run("train", data, "--arch", "ligru", *SMALL, "--epochs", "12", "--out", model)
    metrics = json.loads((model / "metrics.json").read_text())
    assert metrics["validation"]["accuracy"] > 0.9
    rows = run("predict", *sorted((data / "low").iterdir())[:8], "--model", model).splitlines()
    assert [row.split("\t")[1] for row in rows] == ["low"] * 8

    # Its equations are compared with the exported graph there.
    run("explain", clip, "--model", model, "--html", tmp_path / "page.html")
    [layer] = read_page(tmp_path / "page.html")["layers"]
    assert [panel["name"] for panel in layer["panels"]] == ["update", "candidate", "state"]
    assert [panel["title"] for panel in layer["panels"]] == [
        "update gate z: fraction of the old state that stays",
        "candidate: a rectified sum",
        "state h = z·h + (1 - z)·candidate",
    ]
    assert layer["panels"][0]["limits"] == [0.0, 1.0]
    assert "no gates" not in layer["title"]


def test_a_new_cell_streams(data, tmp_path):
    model, clip = tmp_path / "model", data / "low" / "s00_nohash_0.wav"
    run("train", data, "--streaming", "--arch", "ligru", *SMALL, "--epochs", "1", "--out", model)
    assert (model / "stream.onnx").is_file()  # compared with torch, state by state
    run("explain", clip, "--model", model, "--html", tmp_path / "page.html")
    titles = [panel["title"] for panel in read_page(tmp_path / "page.html")["inputs"]]
    assert "probability of each label at each step of the network" in titles


def test_a_new_cell_is_listed_and_sized():
    rows = [json.loads(line) for line in run("archs", "--json", "--size", "tiny").splitlines()]
    # After the one-way networks of the other cells.
    assert [row["arch"] for row in rows[4:8]] == ["gru", "mingru", "ligru", "birnn"]
    [row] = [row for row in rows if row["arch"] == "ligru"]
    assert row["about"] == "GRU without a reset gate, Ravanelli et al. 2018."
    assert re.fullmatch("2[0-9]{4}", str(row["parameters"]))


def test_a_new_cell_is_counted_by_hand():
    config = NetworkConfig("ligru", hidden_size=8, num_layers=2, readout="last")
    network = plain_network(light_gru.CELL)(config, n_features=40, n_outputs=3).eval()
    # Blocks of four frames, then two layers of two gates on 8 inputs and 8 states.
    blocks, layer = 8 * 4 * 40, 2 * 8 * (8 + 8)
    assert count_parameters(network) == blocks + 2 * 8 + 2 * (layer + 2 * 8) + 8 * 3 + 3
    n_steps = 14  # (51 + 3) / 4, up
    expected = n_steps * (blocks + 2 * layer) + 8 * 3
    assert count_multiply_adds(network, torch.zeros(1, 51, 40)) == expected


def test_the_network_of_a_new_cell_has_the_features_of_its_front_end():
    assert plain_network(light_gru.CELL).feature_kind == "log-mel"
    assert plain_network(light_gru.CELL, front=None).feature_kind == "mfcc"
    assert FeatureConfig(kind="log-mel").n_features == 40
