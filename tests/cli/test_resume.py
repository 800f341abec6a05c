"""Long runs that are killed in the middle go on where they stopped, to the very same bytes."""

import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

POLL_S, TIMEOUT_S = 0.002, 60
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}
REASONS = {
    signal.SIGTERM: "ended by SIGTERM",
    signal.SIGHUP: "ended by SIGHUP",
    signal.SIGINT: "interrupted",
}


def wait_for(journal, n_results):
    """Return once a journal holds so many results."""
    end = time.monotonic() + TIMEOUT_S
    while not journal.is_file() or journal.read_bytes().count(b"\n") <= n_results:
        assert time.monotonic() < end, f"{journal.name} never held {n_results} results"
        time.sleep(POLL_S)


def stop(process, journal, n_results, number=signal.SIGKILL):
    """Send a signal once a journal holds so many results; return code and stderr."""
    wait_for(journal, n_results)
    process.send_signal(number)
    return process.wait(TIMEOUT_S), process.stderr.read().decode()


@pytest.fixture(scope="module")
def clips(home):
    """Sixty clips, two of them missing and empty."""
    paths = [str(path) for path in sorted(home.data.rglob("*.wav"))[::3]]
    paths[7], paths[40] = str(home.path / "absent.wav"), str(home.path / "empty.wav")
    (home.path / "empty.wav").write_bytes(b"")
    return paths


@pytest.fixture
def predict(home, clips, tmp_path, start):
    """Start to predict the first of the clips; the process waits for more."""

    def begin(n_clips, *options):
        arguments = ("--files-from", "-", "--model", home.model, "--json", *options)
        process = start("predict", *arguments, cwd=tmp_path)
        process.stdin.write("".join(f"{path}\n" for path in clips[:n_clips]).encode())
        process.stdin.flush()
        return process

    return begin


def predict_all(run, home, clips, cwd, *options, stdin=None):
    listed = "".join(f"{path}\n" for path in (clips if stdin is None else stdin))
    arguments = ("--files-from", "-", "--model", home.model, "--json", *options)
    return run("predict", *arguments, cwd=cwd, stdin=listed)


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_predict_goes_on(number, home, clips, tmp_path, run, predict):
    whole = predict_all(run, home, clips, tmp_path, "--out", "whole.json")
    assert whole.code == 1  # two clips cannot be used

    journal = tmp_path / "out.json.resume"
    code, stderr = stop(predict(20, "--out", "out.json"), journal, 20, number)
    assert code == CODES[number]
    if number != signal.SIGKILL:
        assert stderr.splitlines()[-2:] == [
            "speechcls: out.json.resume keeps the 20 that are done; the same command with --resume"
            " goes on",
            f"speechcls: error: {REASONS[number]}",
        ]
        # the temporary file is gone, what was found until then is kept
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"out.json", "out.json.resume", "whole.json"}
        assert (
            (tmp_path / "whole.json").read_bytes().startswith((tmp_path / "out.json").read_bytes())
        )
    code, _ = stop(predict(33, "--out", "out.json", "--resume"), journal, 33)
    assert code == -signal.SIGKILL

    done = predict_all(run, home, clips, tmp_path, "--out", "out.json", "--resume")
    assert done.code == 1
    assert done.errors == whole.errors
    assert "speechcls: 33 that were done before are taken from out.json.resume" in done.stderr
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not journal.exists()


def test_what_is_done_is_not_done_again(home, clips, tmp_path, run, predict):
    journal = tmp_path / "out.json.resume"
    stop(predict(20, "--out", "out.json"), journal, 20)
    first, *lines = journal.read_text().splitlines()
    key, result = json.loads(lines[0])
    forged = json.dumps([key, result | {"label": "forged"}])
    # The last line was being written.
    journal.write_text("\n".join([first, forged, *lines[1:]])[:-30])

    done = predict_all(run, home, clips, tmp_path, "--out", "out.json", "--resume")
    assert "speechcls: 19 that were done before are taken from out.json.resume" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "out.json").read_text().splitlines()]
    assert [row["path"] for row in rows] == clips[:7] + clips[8:40] + clips[41:]
    assert [row["label"] for row in rows].index("forged") == 0
    assert rows[18]["label"] in ("high", "low", "rise")  # of the line that was cut


def test_other_settings_and_data_are_named_and_refused(home, clips, tmp_path, run, predict):
    journal = tmp_path / "out.json.resume"
    stop(predict(20, "--out", "out.json", "--threshold", "0.5"), journal, 20, signal.SIGTERM)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = ("--out", "out.json", "--resume")

    def refused(*options, stdin=None):
        result = predict_all(run, home, clips, tmp_path, *again, *options, stdin=stdin)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
        assert result.code == 2
        [error] = [line for line in result.errors if line.startswith("--resume: ")]
        return error.removeprefix("--resume: ")

    advice = "give the same, or leave this out to begin anew"
    of_another = "out.json.resume is of another run: "
    assert refused() == f"{of_another}threshold was 0.5 and is not given; {advice}"
    options = ("--threshold", "0.6", "--channel", "1")
    changes = "threshold was 0.5 and is 0.6, channel was not given and is 1"
    assert refused(*options) == f"{of_another}{changes}; {advice}"
    options = ("--threshold", "0.5", "--model", "commands")
    assert refused(*options).startswith(f"{of_another}models was ")

    own = ("--threshold", "0.5")
    advice = "(out.json.resume); give the same data, or leave this out to begin anew"
    other = refused(*own, stdin=[clips[0], *clips[2:]])
    assert other == f"the data has {clips[2]} where {clips[1]} was done before {advice}"
    short = refused(*own, stdin=clips[:5])
    assert short == f"the data ends before {clips[5]}, which was done before {advice}"
    soundfile.write(clips[7], np.full(8_000, 0.1), 16_000)  # the absent one
    try:
        changed = refused(*own)
    finally:
        (home.path / "absent.wav").unlink()
    assert changed == f"the data has another {clips[7]} now than when it was done {advice}"

    # Without the option it begins anew, and says so.
    anew = predict_all(run, home, clips, tmp_path, "--out", "out.json", *own)
    assert "out.json.resume: of a run that was stopped; begun anew, since --resume" in anew.stderr
    assert (tmp_path / "out.json").read_bytes().count(b"\n") == len(clips) - 2
    assert not journal.exists()


def test_with_no_journal_it_begins_anew_and_says_so(home, clips, tmp_path, run):
    result = run("predict", clips[0], "-m", home.model, "-o", "out.tsv", "--resume", cwd=tmp_path)
    assert result.code == 0
    assert "speechcls: out.tsv.resume: not there, so that this begins anew" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.tsv"]


@pytest.mark.parametrize("options", [(), ("--out", "/dev/null"), ("--out", "out.tsv", "-")])
def test_without_a_file_there_is_nothing_to_go_on_with(options, home, clips, tmp_path, run):
    result = run("predict", clips[0], "-m", home.model, "--resume", *options, cwd=tmp_path)
    assert result.code == 2
    assert result.errors == ["--resume: needs an output file, and recordings that are files"]


def test_two_processes_do_not_write_one_journal(home, clips, tmp_path, run, predict):
    first = predict(20, "--out", "out.json")
    wait_for(tmp_path / "out.json.resume", 20)
    second = predict_all(run, home, clips, tmp_path, "--out", "out.json", "--resume")
    assert second.code == 2
    [error] = second.errors
    assert error.startswith("--resume: out.json.resume is being written by another process; ")
    first.communicate("".join(f"{path}\n" for path in clips[20:]).encode(), TIMEOUT_S)
    assert (tmp_path / "out.json").read_bytes().count(b"\n") == len(clips) - 2


def test_a_hangup_that_is_ignored_stays_ignored(home, clips, tmp_path, start):
    arguments = ("--files-from", "-", "--model", home.model, "--out", "out.tsv")
    process = start("predict", *arguments, cwd=tmp_path, ignored=signal.SIGHUP)
    process.stdin.write(f"{clips[0]}\n".encode())
    process.stdin.flush()
    wait_for(tmp_path / "out.tsv.resume", 1)
    process.send_signal(signal.SIGHUP)
    process.communicate(f"{clips[1]}\n".encode(), TIMEOUT_S)
    assert process.returncode == 0
    assert (tmp_path / "out.tsv").read_text().count("\n") == 2


def test_detect_goes_on(home, make_tone, tmp_path, call, start):
    words = [np.pad(make_tone(label, n), 8_000) for n, label in enumerate(["low", "high"] * 12)]
    names = [f"{n}.wav" for n in range(12)]
    for name in names:
        soundfile.write(tmp_path / name, np.concatenate(words), 16_000)
    (tmp_path / names[1]).write_bytes(b"")
    common = ("detect", *names, "--model", home.model, "--threshold", "0.3", "--csv", "--out")
    whole = call(*common, "whole.csv", cwd=tmp_path)
    assert whole.code == 1

    process = start(*common, "out.csv", cwd=tmp_path)
    code, _ = stop(process, tmp_path / "out.csv.resume", 3)
    assert code == -signal.SIGKILL
    done = call(*common, "out.csv", "--resume", cwd=tmp_path)
    assert done.code == 1
    assert done.errors == whole.errors
    assert " that were done before are taken from out.csv.resume" in done.stderr
    text = (tmp_path / "out.csv").read_bytes()
    assert text == (tmp_path / "whole.csv").read_bytes()
    assert text.count(b"\n") > 11 * 18
    assert not (tmp_path / "out.csv.resume").exists()


def test_evaluate_goes_on(home, tmp_path, call, start):
    common = ("evaluate", home.data, "--split", "all", "--model", home.model, "--json")
    common += ("--jobs", "1", "--report")
    whole = call(*common, "whole", cwd=tmp_path)
    process = start(*common, "out", cwd=tmp_path)
    code, _ = stop(process, tmp_path / "out.resume", 8)
    assert code == -signal.SIGKILL
    done = call(*common, "out", "--resume", cwd=tmp_path)
    assert (done.code, done.stdout) == (0, whole.stdout)
    assert json.loads(done.stdout)["n_clips"] == 144
    assert " that were done before are taken from out.resume" in done.stderr
    pages = [
        json.loads((tmp_path / each / "predictions.json").read_text()) for each in ("out", "whole")
    ]
    for page in pages:
        del page["about"]["created"]
    assert pages[0] == pages[1]
    assert not (tmp_path / "out.resume").exists()


def test_compare_goes_on(home, tmp_path, call, start):
    models = [tmp_path / "a", tmp_path / "b"]
    for model in models:
        shutil.copytree(home.model, model)
    common = ("compare", *models, "--data", home.data, "--no-speed", "--jobs", "1")
    common += ("--json", "--differences")
    whole = call(*common, "whole.csv", cwd=tmp_path)
    assert whole.code == 0, whole.stderr
    process = start(*common, "out.csv", cwd=tmp_path)
    code, _ = stop(process, tmp_path / "out.csv.resume", 8)
    assert code == -signal.SIGKILL
    done = call(*common, "out.csv", "--resume", cwd=tmp_path)
    assert (done.code, done.stdout) == (0, whole.stdout)
    assert " that were done before are taken from out.csv.resume" in done.stderr
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not (tmp_path / "out.csv.resume").exists()


def test_calibrate_goes_on(home, tmp_path, call, start):
    rng = np.random.default_rng(0)
    (tmp_path / "noise").mkdir()
    for n in range(12):
        sound = rng.normal(0.0, 0.05, 16_000 * 15)
        soundfile.write(tmp_path / "noise" / f"{n}.wav", sound, 16_000)
    for name in ("whole", "out"):
        shutil.copytree(home.model, tmp_path / name)
    common = ("calibrate", "--noise", "noise", "--data", home.data, "--json", "--model")
    whole = call(*common, "whole", cwd=tmp_path)
    assert whole.code == 0, whole.stderr
    journal = tmp_path / "out" / "calibration.json.resume"
    code, _ = stop(start(*common, "out", cwd=tmp_path), journal, 3)
    assert code == -signal.SIGKILL
    done = call(*common, "out", "--resume", cwd=tmp_path)
    assert done.code == 0
    assert " that were done before are taken from out/calibration.json.resume" in done.stderr
    found = [(tmp_path / name / "calibration.json").read_bytes() for name in ("whole", "out")]
    assert found[0] == found[1]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        p.name for p in (tmp_path / "whole").iterdir()
    }


def test_what_a_stopped_run_left_is_named_either_way(home, clips, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ("predict", clips[0], "--model", home.model, "--out", "out.tsv")
    fresh = call(*command, "--resume")
    assert fresh.code == 0
    assert "out.tsv.resume: not there, so that this begins anew" in fresh.stderr
    Path("out.tsv.resume").write_text("{}\n")
    anew = call(*command)
    assert anew.code == 0
    assert "warning: out.tsv.resume: of a run that was stopped; begun anew, since" in anew.stderr
    assert Path("out.tsv").read_text().startswith(f"{clips[0]}\t")
