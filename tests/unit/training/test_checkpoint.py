"""A training that ended at any step goes on to the same bits; other trainings are refused."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from common_training import ALL_ON, CPU, FEATURES, PLAIN, build, make_corpus
from safetensors import safe_open
from safetensors.torch import save

from speechcls.config import STREAM_NETWORK, NetworkConfig, TrainConfig
from speechcls.data.corpus import Corpus
from speechcls.errors import ArtifactError
from speechcls.labels import SILENCE, UNKNOWN
from speechcls.training import checkpoint as module
from speechcls.training.checkpoint import Checkpoint, identify
from speechcls.training.loop import fit
from speechcls.training.optimisation import FitResult
from speechcls.training.settings import TrainSettings

GRU = NetworkConfig("gru", hidden_size=8, num_layers=2, dropout=0.3)
STREAMING = dataclasses.replace(NetworkConfig(), **STREAM_NETWORK, hidden_size=8, num_layers=1)
CASES = {
    "augmented": (GRU, ALL_ON),
    "convolutions": (dataclasses.replace(GRU, arch="crnn"), ALL_ON),
    "features kept from epoch to epoch": (GRU, PLAIN | {"ema_decay": 0.0}),
    "streaming": (STREAMING, ALL_ON),
}


class Killed(Exception):
    """Stands for the end of the process."""


def corpus_of(network: NetworkConfig) -> Corpus:
    corpus = make_corpus(("a", "b", SILENCE, "cat", "dog"), ("a", UNKNOWN, "b", SILENCE), 20)
    kind = "mfcc" if network.arch == "gru" else "log-mel"
    running_s = 1.0 if network.is_streaming else 0.0
    features = dataclasses.replace(FEATURES, kind=kind, running_s=running_s)
    return dataclasses.replace(corpus, features=features)


def run(
    network: NetworkConfig, changes: dict, place: Path | None = None, n_steps: int | None = None
) -> tuple[dict, FitResult]:
    """Train for two epochs of four steps, or until the process would end after ``n_steps``."""
    config = TrainConfig(**{"epochs": 2, "batch_size": 24, "epoch_clips": 1, **changes})
    corpus, count = corpus_of(network), itertools.count(1)

    def on_step(done: float) -> None:
        if next(count) == n_steps:
            raise Killed

    checkpoint = None
    if place:
        settings = TrainSettings(corpus.features, network, config)
        checkpoint = Checkpoint(place)
        checkpoint.open(identify(settings, corpus, "cpu"))
    recogniser = build(corpus, network)
    result = fit(recogniser, corpus, config, CPU, on_step=on_step, checkpoint=checkpoint)
    return recogniser.state_dict(), result


def values(result: FitResult) -> list[tuple]:
    return [
        (
            *(e.epoch, e.loss, e.validation_loss, e.validation_accuracy, e.lr, e.is_best),
            *(e.validation_balanced_accuracy, e.validation_command_recall),
        )
        for e in result.history
    ]


@pytest.mark.parametrize("case", CASES)
def test_a_training_that_was_killed_goes_on_to_the_same_bits(case, tmp_path, monkeypatch):
    network, changes = CASES[case]
    expected, history = run(network, changes)
    monkeypatch.setattr(module, "INTERVAL_S", 0.0)  # the state is saved after each step
    for n_steps in (2, 4, 5):  # the state of the step before is the last one
        place = tmp_path / f"{n_steps}"
        with pytest.raises(Killed):
            run(network, changes, place, n_steps)
        weights, result = run(network, changes, place)
        for name, weight in expected.items():
            assert torch.equal(weight, weights[name]), (n_steps, name)
        assert values(result) == values(history)
        assert history.best and result.best == result.history[history.best.epoch - 1]


def prepare(place: Path, **changes: object) -> tuple[Corpus, TrainConfig, Checkpoint, list[str]]:
    """Return what ``run`` trains, with the checkpoint of ``place`` opened and what it says."""
    config = TrainConfig(**{"epochs": 2, "batch_size": 24, "epoch_clips": 1, **ALL_ON, **changes})
    corpus, checkpoint = corpus_of(GRU), Checkpoint(place)
    settings = TrainSettings(corpus.features, GRU, config)
    return corpus, config, checkpoint, checkpoint.open(identify(settings, corpus, "cpu"))


@pytest.fixture
def place(tmp_path) -> Path:
    """Return the place of a model whose training was killed in its second epoch."""
    with pytest.raises(Killed):
        run(GRU, ALL_ON, tmp_path / "m", 6)
    return tmp_path / "m"


def test_it_goes_on_where_it_was_not_from_the_beginning(place):
    corpus, config, checkpoint, told = prepare(place)
    n_steps = run(GRU, ALL_ON)[1].history and 4
    done: list[float] = []
    fit(build(corpus, GRU), corpus, config, CPU, on_step=done.append, checkpoint=checkpoint)
    # without an interval of its own, the state is that of the first epoch's end
    assert (told, done) == ([], [i / n_steps for i in range(1, n_steps + 1)])


def test_after_the_last_epoch_nothing_is_trained_again(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL_S", 0.0)
    run(GRU, ALL_ON, tmp_path / "m")
    corpus, config, checkpoint, _ = prepare(tmp_path / "m")
    done: list[float] = []
    result = fit(
        build(corpus, GRU), corpus, config, CPU, on_step=done.append, checkpoint=checkpoint
    )
    assert (done, len(result.history)) == ([], 2)


def test_other_settings_are_named_and_refused(place):
    with pytest.raises(ArtifactError) as raised:
        prepare(place, lr=0.5, seed=7)
    assert "lr was 0.002, is 0.5; seed was 0, is 7" in str(raised.value)
    assert str(place) + ".unfinished" in str(raised.value)


def test_other_data_are_named_and_refused(place):
    corpus, config, checkpoint, _ = prepare(place)
    settings = TrainSettings(corpus.features, GRU, config)
    fewer = dataclasses.replace(corpus, rows=corpus.rows[1:])
    with pytest.raises(ArtifactError, match=r"in validation: 20 clips, now 19"):
        checkpoint.open(identify(settings, fewer, "cpu"))
    other = [dataclasses.replace(corpus.rows[0], digest="1"), *corpus.rows[1:]]
    with pytest.raises(ArtifactError, match=r"\(recordings have changed\)"):
        checkpoint.open(identify(settings, dataclasses.replace(corpus, rows=other), "cpu"))
    louder = dataclasses.replace(corpus, noise=2 * corpus.noise)
    with pytest.raises(ArtifactError, match=r"\(recordings have changed\)"):
        checkpoint.open(identify(settings, louder, "cpu"))
    assert checkpoint.exists()


def test_another_device_is_said(place):
    corpus, config, checkpoint, _ = prepare(place)
    settings = TrainSettings(corpus.features, GRU, config)
    told = checkpoint.open(identify(settings, corpus, "cuda"))
    expected = (
        "the training began with device cpu, now cuda: the last bits of its weights may differ"
    )
    assert told == [expected]
    assert checkpoint.state is not None


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, bytes(8), b"cut", b'{"__metadata__":{}}'], ids=repr
)
def test_a_damaged_state_is_told_and_stays(place, content):
    state = place.with_name("m.unfinished") / "state.safetensors"
    whole = state.read_bytes()
    damaged = whole[: len(whole) // 2] if content == b"cut" else content
    state.write_bytes(damaged)
    with pytest.raises(ArtifactError, match=r"state\.safetensors: damaged .* to begin anew"):
        prepare(place)
    assert state.read_bytes() == damaged


def test_the_state_of_an_earlier_version_is_refused_and_stays(place):
    state = place.with_name("m.unfinished") / "state.safetensors"
    with safe_open(state, "pt") as file:
        about = json.loads(file.metadata()["training"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    about["format_version"] = 1  # as it was when its epochs had no balanced accuracy
    for epoch in about["numbers"]["history"]:
        del epoch["validation_balanced_accuracy"], epoch["validation_command_recall"]
    old = save(tensors, {"training": json.dumps(about)})
    state.write_bytes(old)
    with pytest.raises(ArtifactError) as raised:
        prepare(place)
    assert str(raised.value) == (
        f"{place}.unfinished: holds an unfinished training by another version of speechcls; end it"
        " with that one, or move it away to begin anew"
    )
    assert state.read_bytes() == old


def test_where_the_state_cannot_be_saved_the_training_goes_on(place, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    expected, _ = run(GRU, ALL_ON)
    corpus, config, checkpoint, _ = prepare(place)
    before = checkpoint.exists() and (place.with_name("m.unfinished")).stat().st_mtime_ns
    monkeypatch.setattr(module, "write_atomic", fail)
    warnings: list[str] = []
    recogniser = build(corpus, GRU)
    fit(recogniser, corpus, config, CPU, checkpoint=checkpoint, on_warning=warnings.append)
    assert warnings == ["the state of the training is not saved (no space left on device)"]
    assert place.with_name("m.unfinished").stat().st_mtime_ns == before
    for name, weight in expected.items():
        assert torch.equal(weight, recogniser.state_dict()[name]), name


def test_saving_takes_a_hundredth_of_the_time(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    def write(*_: object) -> None:
        clock[0] += 0.5

    monkeypatch.setattr(module, "write_atomic", write)
    *_, checkpoint, _ = prepare(tmp_path / "m")
    state = module.State({"a": torch.zeros(1)}, {})
    saved = []
    for second in range(0, 400, 5):
        clock[0] = max(clock[0], float(second))
        if checkpoint.is_due(at_end_of_epoch=True):
            checkpoint.save(state)
            saved.append(second)
    assert saved == [0, 50, 100, 150, 200, 250, 300, 350]
    clock[0] += module.INTERVAL_S - 46
    assert not checkpoint.is_due(at_end_of_epoch=False)
    clock[0] += 47
    assert checkpoint.is_due(at_end_of_epoch=False)


# The lock

HOLD = """
import sys, pathlib
from speechcls.training.checkpoint import Checkpoint
with Checkpoint(pathlib.Path(sys.argv[1])).locked():
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_training_of_one_model_is_refused_until_the_first_is_dead(tmp_path):
    place = tmp_path / "models" / "m"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        told = f"m: process {process.pid} is training this model; wait for its end"
        with pytest.raises(ArtifactError, match=told), Checkpoint(place).locked():
            pass
        process.kill()
    assert (tmp_path / "models" / "m.unfinished" / "lock").exists()
    with Checkpoint(place).locked():
        text = (tmp_path / "models" / "m.unfinished" / "lock").read_text()
        assert int(text) == os.getpid()
    assert list((tmp_path / "models").iterdir()) == []


def test_a_lock_leaves_nothing_but_what_is_not_its_own(tmp_path):
    with Checkpoint(tmp_path / "new" / "m").locked():
        pass
    assert list(tmp_path.iterdir()) == []
    folder = tmp_path / "m.unfinished"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with Checkpoint(tmp_path / "m").locked():
        pass
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_where_the_folder_cannot_be_made_it_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    checkpoint = Checkpoint(tmp_path / "file" / "m")
    told = r"m\.unfinished: .*; choose another place"
    with pytest.raises(ArtifactError, match=told), checkpoint.locked():
        pass


def test_it_goes_on_with_as_many_threads(place, monkeypatch):
    seen = []
    corpus, config, checkpoint, _ = prepare(place)
    assert checkpoint.state.numbers["threads"] == torch.get_num_threads()
    checkpoint.state.numbers["threads"] = 3
    before = torch.get_num_threads()
    fit(
        build(corpus, GRU), corpus, config, CPU, checkpoint=checkpoint,
        on_step=lambda done: seen.append(torch.get_num_threads()),
    )  # fmt: skip
    assert set(seen) == {3}
    assert torch.get_num_threads() == before
