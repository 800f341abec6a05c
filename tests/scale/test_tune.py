"""``speechcls tune``: what it finds, and that it goes on, is shared and ends as it should."""

import contextlib
import itertools
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from speechcls.artifact.store import read_metrics
from speechcls.cli.app import app
from speechcls.experiments import search as searching
from speechcls.experiments.search_journal import CHOICE, INDEX, SearchJournal

optuna = pytest.importorskip("optuna", reason="pip install 'speechcls[tune]'")

TIMEOUT_S = 120
SETTINGS = """
[network]
num_layers = 1
[training]
epochs = {epochs}
patience = {epochs}
batch_size = 16
epoch_clips = 1
ema_decay = 0.0
lr = {lr}
"""
TRIALS = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_data):
    """A folder with ``data/`` and config files: a quick training, and one without an end."""
    folder = tmp_path_factory.mktemp("tune")
    make_data(folder / "data", ("low", "mid", "high"), 24)
    (folder / "quick.toml").write_text(SETTINGS.format(epochs=2, lr=0.01).replace("lr = 0.01", ""))
    (folder / "endless.toml").write_text(SETTINGS.format(epochs=100_000, lr=0.01))
    (folder / "diverging.toml").write_text(SETTINGS.format(epochs=2, lr=1e30))
    return folder


def arguments(out, *options, config="quick.toml", trials=TRIALS):
    own = ("--config", config, "--trials", str(trials), "--out", out, *options)
    return ["tune", "data", "--closed", "--archs", "gru,crnn", "--jobs", "1", *own]


def begin(place, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "speechcls", *map(str, arguments)],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        # What a shell runs in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def end_of(process):
    stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, stdout, stderr


def wait_for(process, text):
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended without {text!r}")


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return place


def call(*arguments):
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def trials_of(stdout):
    """What does not depend on the time that it took."""
    rows = json.loads(stdout)["trials"]
    return [{name: v for name, v in row.items() if name != "duration_s"} for row in rows]


@pytest.fixture(scope="module")
def unkilled(place):
    """The trials of a search that nobody disturbed."""
    with contextlib.chdir(place):
        code, stdout, stderr = call(*arguments("unkilled", "--json"))
    assert code == 0, stderr
    return json.loads(stdout) | {"rows": trials_of(stdout)}


def test_the_first_trial_has_the_default_settings(unkilled):
    assert [row["trial"] for row in unkilled["rows"]] == [0, 1, 2, 3]
    first = unkilled["rows"][0]
    assert first["state"] == "finished"
    named = {name: first["choice"][name] for name in ("arch", "hidden_size", "lr", "speed_max")}
    assert named == {"arch": "gru", "hidden_size": 96, "lr": 0.002, "speed_max": 0.15}
    assert len({row["choice"]["lr"] for row in unkilled["rows"]}) == TRIALS


def test_the_best_model_and_its_settings_are_those_of_the_best_trial(place, unkilled):
    finished = [row for row in unkilled["rows"] if row["state"] == "finished"]
    best = max(finished, key=lambda row: (row["balanced_accuracy"], -row["trial"]))
    assert unkilled["best"] == best["trial"]
    model = read_metrics(place / unkilled["model"])
    assert model["validation"]["balanced_accuracy"] == best["balanced_accuracy"]
    assert model["training"]["lr"] == best["choice"]["lr"]


def test_the_gain_is_corrected_for_the_trials_that_were_chosen_from(unkilled):
    scored = [row for row in unkilled["rows"][1:] if row["state"] in ("finished", "pruned")]
    gain = unkilled["gain"]
    assert unkilled["best"] > 0
    assert gain["n_compared"] == len(scored) == 3
    assert gain["p_adjusted"] == min(1.0, 3 * gain["p"])
    # Nine clips of one speaker: McNemar's test says the same of the counts that it is given.
    n = gain["only_first"] + gain["only_second"]
    tail = sum(math.comb(n, k) for k in range(min(gain["only_first"], gain["only_second"]) + 1))
    assert gain["p"] == min(1.0, 2 * tail / 2**n)
    assert round(9 * gain["difference"]) == gain["only_second"] - gain["only_first"]


def test_train_makes_the_same_model_of_the_settings(here, unkilled):
    code, stdout, stderr = call("train", "data", "--config", unkilled["config"], "--out", "again")
    assert (code, stdout) == (0, "again\n"), stderr
    again, found = (read_metrics(here / name) for name in ("again", unkilled["model"]))
    assert again["validation"] == found["validation"]
    weights = [here / name / "weights.safetensors" for name in ("again", unkilled["model"])]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_search_that_was_killed_goes_on_to_the_same_end(here, unkilled):
    process = begin(here, *arguments("killed", "--verbose"))
    wait_for(process, "trial 2: from_model=")
    process.kill()
    end_of(process)
    code, stdout, stderr = call(*arguments("killed", "--json"))
    assert code == 0, stderr
    assert "goes on with a search, of which 2 trials are done" in stderr
    assert "trial 2: its process was ended; it is tried again" in stderr
    assert trials_of(stdout) == unkilled["rows"]
    assert not list((here / "killed" / "trials").glob("*.unfinished"))
    # Now that all is done, it is told again, and nothing is trained.
    code, stdout, stderr = call(*arguments("killed", "--json"))
    assert (code, trials_of(stdout)) == (0, unkilled["rows"])
    assert f" of {TRIALS}" not in stderr


def test_two_processes_share_the_trials(place):
    processes = [begin(place, *arguments("shared", "--json")) for _ in range(2)]
    ends = [end_of(process) for process in processes]
    assert [code for code, _, _ in ends] == [0, 0], ends
    done = [line.split()[2] for _, _, stderr in ends for line in stderr.splitlines()
            if f" of {TRIALS}" in line]  # fmt: skip
    assert sorted(done) == ["0", "1", "2", "3"]
    # Whoever ends last has seen all of them.
    rows = max((trials_of(stdout) for _, stdout, _ in ends), key=lambda rows: sum(
        row["state"] != "unfinished" for row in rows))  # fmt: skip
    assert [row["trial"] for row in rows] == [0, 1, 2, 3]
    assert {row["state"] for row in rows} <= {"finished", "pruned"}
    best = max(rows, key=lambda row: (row["state"] == "finished") * row["balanced_accuracy"])
    model = read_metrics(place / "shared" / "model")
    assert model["validation"]["balanced_accuracy"] == best["balanced_accuracy"]


def test_ctrl_c_ends_it_with_what_is_done(place):
    process = begin(place, *arguments("stopped", config="endless.toml"))
    wait_for(process, "at most 100000 epochs")
    process.send_signal(signal.SIGINT)
    code, stdout, stderr = end_of(process)
    assert (code, stdout) == (130, "")
    assert stderr.splitlines()[-1] == "speechcls: error: interrupted"


def test_the_time_limit_ends_the_trial_that_runs_which_goes_on_later(here, unkilled, monkeypatch):
    """By a clock that is past the limit when it has been looked at a few times: in epoch 2."""
    looks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: 0.0 if next(looks) < 7 else 1e9)
    with monkeypatch.context() as changed:
        changed.setattr(searching, "time", clock)
        code, stdout, stderr = call(*arguments("late"))
    assert (code, stdout) == (1, "")
    assert "late: no trial has come to a model; allow more time" in stderr
    assert stderr.splitlines()[-1] == "  trial 0: out of time"
    assert (here / "late" / "trials" / "000.unfinished" / "state.safetensors").is_file()
    code, stdout, stderr = call(*arguments("late", "--json", trials=1))
    assert code == 0, stderr
    assert trials_of(stdout) == unkilled["rows"][:1]


def test_after_the_time_limit_the_finished_trials_stay(here, unkilled):
    shutil.copytree(here / "unkilled", here / "limited")
    options = ("--minutes", "0.0001", "--json")
    code, stdout, stderr = call(*arguments("limited", *options, trials=9))
    assert code == 0, stderr
    assert trials_of(stdout) == unkilled["rows"]
    last = "speechcls: ended after 0.0001 minutes; the same command goes on"
    assert stderr.splitlines()[-1] == last


def test_a_trial_that_promises_little_is_pruned(here, unkilled):
    """Five others, that had everything right after an epoch, make the median."""
    shutil.copytree(here / "unkilled", here / "pruning")
    journal = SearchJournal(here / "pruning")
    template = journal.attempts()[1][-1]
    for index in range(TRIALS, TRIALS + 5):
        made = optuna.trial.create_trial(
            value=0.0,
            params=template.params,
            distributions=template.distributions,
            intermediate_values={1: 1.1, 2: 1.1},
            user_attrs={INDEX: index, CHOICE: template.user_attrs[CHOICE]},
        )
        journal.study.add_trial(made)
    code, stdout, stderr = call(*arguments("pruning", "--json", trials=TRIALS + 6))
    assert code == 0, stderr
    last = json.loads(stdout)["trials"][-1]
    assert (last["trial"], last["state"], last["n_epochs"]) == (TRIALS + 5, "pruned", 1)
    assert "trial 9 of 10: pruned" in stderr
    assert not list((here / "pruning" / "trials").glob("009*"))


def test_a_trial_that_fails_is_a_row_and_the_search_goes_on(here, monkeypatch):
    train = searching.train_on_corpus

    def fail_once(plan, checkpoint, **options):
        if checkpoint.place.name == "001":
            raise MemoryError("cpu: out of memory")
        return train(plan, checkpoint, **options)

    monkeypatch.setattr(searching, "train_on_corpus", fail_once)
    code, stdout, stderr = call(*arguments("failing", "--json", trials=3))
    assert code == 0, stderr
    assert "trial 1 of 3: failed (cpu: out of memory)" in stderr
    rows = json.loads(stdout)["trials"]
    assert [row["state"] for row in rows] == ["finished", "failed", "finished"]
    assert rows[1]["note"] == "cpu: out of memory"


def test_when_every_trial_fails_it_is_an_error_with_the_reasons(here):
    code, stdout, stderr = call(*arguments("diverging", config="diverging.toml", trials=2))
    assert (code, stdout) == (1, "")
    assert "diverging: no trial has come to a model" in stderr
    assert stderr.count("at a learning rate of") == 4  # as it happened, and at the end


def test_another_search_is_refused_and_replaced_by_force(here, unkilled):
    shutil.copytree(here / "unkilled", here / "other")
    code, _, stderr = call(*arguments("other", "--seed", "1", trials=1))
    assert code == 2
    assert "other: holds a search with other settings; choose another place" in stderr
    code, stdout, stderr = call(*arguments("other", "--seed", "1", "--force", "--json", trials=1))
    assert code == 0, stderr
    [row] = json.loads(stdout)["trials"]
    assert row["trial"] == 0
    assert read_metrics(here / "other" / "model")["training"]["seed"] == 1
    assert [path.name for path in (here / "other" / "trials").iterdir()] == ["000"]


def test_a_setting_of_the_file_is_named_with_the_file(here):
    (here / "wrong.toml").write_text("[network]\narch = 'grue'\n")
    code, _, stderr = call("tune", "data", "--config", "wrong.toml", "--out", "wrong")
    assert code == 2
    assert stderr.startswith(
        "speechcls: error: wrong.toml: network.arch: no 'grue'; there are rnn, "
    )
    assert not (here / "wrong").exists()


def test_what_is_not_a_search_is_left_alone(here):
    (here / "mine").mkdir()
    (here / "mine" / "notes.txt").write_text("mine")
    code, _, stderr = call(*arguments("mine", "--force"))
    assert code == 1
    assert "mine: exists and is not a search; choose another place" in stderr
    assert [path.name for path in (here / "mine").iterdir()] == ["notes.txt"]


def test_a_journal_with_a_torn_line_is_read_and_a_damaged_one_refused(here, unkilled):
    shutil.copytree(here / "unkilled", here / "torn")
    journal = here / "torn" / "journal.log"
    with journal.open("a") as file:
        file.write('{"op_code":4,"worker')
    SearchJournal(here / "torn").study.set_user_attr("written", "behind it")
    assert SearchJournal(here / "torn").n_ended() == TRIALS
    journal.write_text("not a journal\n")
    code, _, stderr = call(*arguments("torn"))
    assert code == 1
    assert "journal.log: damaged, or not of a search" in stderr


def test_the_example_of_its_help_runs(here):
    _, text, _ = call("tune", "--help")
    [example] = [part for part in text.split("\n\n") if "Example: " in part]
    program, *own = shlex.split(example.strip().removeprefix("Example: "))
    assert program == "speechcls"
    names = {"data/": "data", "yes,no": "low,mid"}
    own = [names.get(word, word) for word in own]
    options = ("--config", "quick.toml", "--archs", "gru", "--closed", "--out", "example")
    code, stdout, stderr = call(*own, *options, "--trials", "1")
    assert code == 0, stderr
    assert stdout.startswith("trials   1: 1 finished\nbest     trial 0: balanced accuracy ")
    assert "no trial did better than the default settings" in stderr
    assert Path("example/model/model.onnx").is_file()


def test_processes_of_torchrun_take_trials_from_one_list(place):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [
        "--nproc-per-node",
        "2",
        "-m",
        "speechcls",
        *arguments("torchrun", "--json", trials=2),
    ]
    done = subprocess.run(
        command, cwd=place, capture_output=True, text=True, timeout=TIMEOUT_S, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    rows = trials_of(done.stdout)  # of rank 0 alone, which has waited for all
    assert [row["trial"] for row in rows] == [0, 1]
    assert [row["state"] for row in rows] == ["finished"] * 2
    told = [line.split()[2] for line in done.stderr.splitlines() if " of 2" in line]
    assert sorted(told) == ["0", "1"]
    assert done.stderr.count("labels high, low, mid") == 1
    trials = SearchJournal(place / "torchrun").attempts().values()
    assert len({each.user_attrs["worker"] for (each,) in trials}) == 2


def test_data_that_cannot_be_loaded_leave_nothing_behind(tmp_path):
    process = begin(tmp_path, "tune", tmp_path / "none", "--out", tmp_path / "search")
    code, stdout, stderr = end_of(process)
    assert (code, stdout) == (1, "")
    assert stderr.startswith(f"speechcls: error: {tmp_path / 'none'}: ")
    assert not (tmp_path / "search").exists()
