"""What is too small, memory, disk or a limit, is said in one line, and what was there stays."""

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

MB = 1_000_000


def limited(kind, n_bytes):
    return lambda: resource.setrlimit(kind, (n_bytes, n_bytes))


@pytest.mark.parametrize(
    "command",
    [
        ("predict", "absent.wav"),
        ("detect", "absent.wav"),
        ("check", "absent"),
        ("evaluate", "absent"),
        ("calibrate", "--noise", "absent"),
        ("train", "absent"),
        ("archs",),
        ("features", "absent.wav"),
        ("explain", "absent.wav"),
        ("verify", "absent"),
        ("bench",),
        ("synth", "yes", "--out", "out"),
        ("mix", "absent", "--noise", "absent", "--out", "out"),
    ],
    ids=lambda command: command[0],
)
def test_too_little_address_space_is_refused_at_the_start(command, tmp_path, run):
    limit = limited(resource.RLIMIT_AS, 200 * MB)
    result = run(*command, cwd=tmp_path, preexec_fn=limit)
    assert (result.code, result.stdout) == (1, "")
    [error] = result.errors
    assert error.startswith(f"not enough memory for {command[0]} within 200 MB (ulimit -v) (")
    assert error.endswith("; raise the limit, or use fewer --jobs where it has them")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "error",
    [
        "ImportError('libonnxruntime.so: failed to map segment from shared object')",
        "RuntimeError('std::bad_alloc')",
        "MemoryError()",
        "OSError(12, 'Cannot allocate memory')",
    ],
)
def test_memory_that_runs_out_later_is_said_too(error, home, tmp_path, run):
    (tmp_path / "onnxruntime.py").write_text(f"raise {error}\n")
    limit = limited(resource.RLIMIT_AS, 2_000 * MB)
    clip, env = home.clip("low"), {"PYTHONPATH": os.fspath(tmp_path)}
    result = run("predict", clip, "-m", home.model, preexec_fn=limit, env=env)
    assert result.code == 1
    assert len(result.errors) == 1
    assert result.errors[0].startswith("not enough memory for predict within 2000 MB (ulimit -v)")


def test_predict_works_in_a_third_of_a_gigabyte(home, tmp_path, run):
    limit = limited(resource.RLIMIT_AS, 400 * MB)
    result = run("predict", home.data / "low", "-m", home.model, "--jobs", "2", preexec_fn=limit)
    assert (result.code, len(result.rows)) == (0, 48), result.stderr


def test_a_file_that_may_not_grow_keeps_what_is_done(home, tmp_path, run):
    common = ("predict", home.data, "-m", home.model, "--json", "--out", "out.json")
    done = run(*common, cwd=tmp_path)
    assert done.code == 0
    before = (tmp_path / "out.json").read_bytes()
    limit = limited(resource.RLIMIT_FSIZE, 10_000)
    result = run(*common, cwd=tmp_path, preexec_fn=limit)
    assert result.code == 1
    [error] = result.errors
    assert error == (
        "out.json.resume: file too large; raise the limit on the size of files (ulimit -f), or"
        " name another place"
    )
    # What was found until then, as after Ctrl-C; the rest follows.
    assert before.startswith((tmp_path / "out.json").read_bytes())
    assert {path.name for path in tmp_path.iterdir()} == {"out.json", "out.json.resume"}
    again = run(*common, "--resume", cwd=tmp_path)
    assert again.code == 0
    assert " that were done before are taken from out.json.resume" in again.stderr
    assert (tmp_path / "out.json").read_bytes() == before


@pytest.mark.parametrize("command", ["predict", "detect"])
def test_a_full_stdout_is_said(command, home, run):
    arguments = (command, home.clip("low"), "-m", home.model, "--csv")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "speechcls", *map(os.fspath, arguments)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    line = "the output: no space left on device; free some space there, or name another place"
    assert done.stderr.splitlines()[-1] == f"speechcls: error: {line}"


@pytest.mark.parametrize("n_bytes", [0, 10_000])
def test_sound_that_does_not_fit_into_the_temporary_folder(n_bytes, home, make_tone, tmp_path, run):
    # Only sound that is no WAV is copied into a file first.
    soundfile.write(tmp_path / "clip.flac", make_tone("low"), 16_000)
    content = (tmp_path / "clip.flac").read_bytes()
    assert len(content) > 10_000
    limit = limited(resource.RLIMIT_FSIZE, n_bytes)
    result = run("detect", "-", "-m", home.model, stdin=content, preexec_fn=limit, cwd=tmp_path)
    assert result.code == 1
    [error] = result.errors
    assert error.startswith("-: cannot be copied into a temporary file (")
    assert error.endswith(
        "); set $TMPDIR to a folder with space for it, or name the recording itself"
    )


SMALL = "mount -t tmpfs -o size=64k none disk"
READ_ONLY = "mount --bind disk disk && mount -o remount,ro,bind disk"


@pytest.fixture
def with_disk(tmp_path):
    """Run a command where ``disk`` is mounted in another way; print its code and what is there."""

    def run_there(mount, *arguments):
        prefix = ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "-"]
        if subprocess.run([*prefix, "true"], cwd=tmp_path, capture_output=True).returncode:
            pytest.skip("may not mount a disk")
        script = f'{sys.executable} -m speechcls "$@"; echo $?; ls disk'
        return subprocess.run(
            [*prefix, "sh", "-c", script, "-", *map(os.fspath, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    (tmp_path / "disk").mkdir()
    return run_there


def test_a_full_disk_is_said(home, with_disk):
    arguments = ("predict", home.data, "-m", home.model, "--json", "--out", "disk/out.json")
    done = with_disk(SMALL, *arguments)
    assert done.stdout.split() == ["1", "out.json", "out.json.resume"]
    error = done.stderr.splitlines()[-1]
    assert error.startswith("speechcls: error: disk/out.json")
    advice = "no space left on device; free some space there, or name another place"
    assert error.endswith(advice)


@pytest.mark.parametrize(
    "command",
    [
        ("train", "DATA", "--epochs", "1", "--out", "disk/new"),
        ("train", "DATA", "--epochs", "1", "--out", "disk/model", "--force"),
        ("predict", "DATA", "-m", "MODEL", "--out", "disk/out.tsv"),
        ("detect", "CLIP", "-m", "MODEL", "--out", "disk/out.tsv"),
        ("evaluate", "DATA", "-m", "MODEL", "--report", "disk/report.html"),
        ("compare", "DATA", "--archs", "gru,lstm", "--out", "disk/compared"),
        ("features", "CLIP", "--out", "disk/features.png"),
    ],
    ids=lambda command: f"{command[0]} {command[-1]}",
)
def test_a_read_only_disk_is_said_before_the_work(command, home, tmp_path, with_disk):
    shutil.copytree(home.model, tmp_path / "disk" / "model")
    places = {"DATA": home.data, "MODEL": home.model, "CLIP": home.clip("low")}
    done = with_disk(READ_ONLY, *(places.get(word, word) for word in command))
    code, *there = done.stdout.split()
    assert code in ("1", "2")
    assert there == ["model"]
    [error] = [line for line in done.stderr.splitlines() if line.startswith("speechcls: error: ")]
    assert re.search("disk.*: (read-only file system|may not be written in)", error)
    assert re.search("; (choose|name) (another|a) p(ath|lace)", error)
    assert "epoch 1/" not in done.stderr


def test_a_model_and_recordings_on_a_read_only_disk_are_used(home, tmp_path, with_disk):
    shutil.copytree(home.model, tmp_path / "disk" / "model")
    shutil.copytree(home.data / "low", tmp_path / "disk" / "low")
    done = with_disk(READ_ONLY, "predict", "disk/low", "--model", "disk/model", "-q")
    *rows, code, _, _ = done.stdout.splitlines()
    assert (code, len(rows), done.stderr) == ("0", 48, "")


def test_data_that_vanish_while_they_are_read_are_named_and_the_rest_is_kept(home, tmp_path, start):
    shutil.copytree(home.data / "low", tmp_path / "low")
    names = sorted(path.name for path in (tmp_path / "low").glob("*.wav"))
    process = start("predict", "--files-from", "-", "-m", home.model, cwd=tmp_path)
    process.stdin.write(b"low/" + names[0].encode() + b"\n")
    process.stdin.flush()
    assert process.stdout.readline().startswith(b"low/" + names[0].encode())
    shutil.rmtree(tmp_path / "low")
    process.stdin.write(b"low/" + names[1].encode() + b"\n")
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (1, b"")
    assert f"error: low/{names[1]}: no such file" in stderr.decode()


def test_data_that_vanish_while_a_model_is_trained_are_no_longer_needed(home, tmp_path, start):
    shutil.copytree(home.data, tmp_path / "tones")
    small = (
        "--arch",
        "gru",
        "--hidden-size",
        "8",
        "--num-layers",
        "1",
        "--epochs",
        "3",
        "--epoch-clips",
        "1",
        "--closed",
    )
    process = start("train", "tones", *small, cwd=tmp_path)
    seen = b""
    while b"at most 3 epochs" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    shutil.rmtree(tmp_path / "tones")
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, b"models/tones-gru\n"), stderr
