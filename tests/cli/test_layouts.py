"""``check`` on ten layouts as they lie on disk: the table in docs/DATA.md is what it prints."""

import re
from pathlib import Path

import pytest
from disk_layouts import LAYOUTS, WORDS, recording

TABLE = Path(__file__).parents[2] / "docs/DATA.md"
ROW = re.compile(r"^\| ([^|`]+) \|.*\| `([^`]+)` \|$", re.MULTILINE)
FIRST_LINES = dict(ROW.findall(TABLE.read_text(encoding="utf-8")))


def test_the_table_has_every_layout():
    assert list(FIRST_LINES) == list(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_first_line_is_that_of_the_table(name, tmp_path, call):
    paths = LAYOUTS[name](tmp_path)
    result = call("check", *map(str, paths))
    assert result.stderr.splitlines()[0] == f"speechcls: {FIRST_LINES[name]}"
    assert result.errors == []
    assert result.code == 0


def test_a_manifest_with_other_names_is_read_as_the_columns_say(tmp_path, call):
    LAYOUTS["Teachable Machine"](tmp_path / "x")
    rows = [f"x/Bonjour/{i}.wav;bonjour" for i in range(6)]
    rows += [f"x/Bonne nuit/{i}.wav;nuit" for i in range(6)]
    (tmp_path / "l.csv").write_text("\n".join(["fichier;mot", *rows]) + "\n")
    result = call("check", str(tmp_path / "l.csv"))
    assert result.code == 1
    [error] = result.errors
    assert error.startswith("--columns: ")
    assert "fichier, mot" in error
    result = call("check", str(tmp_path / "l.csv"), "--columns", "path=fichier,label=mot")
    assert result.stderr.splitlines()[0] == "speechcls: labels bonjour, nuit"
    assert result.code == 0


@pytest.mark.parametrize("option", ["--columns=path=a", "--root=."])
def test_options_of_manifests_are_refused_for_folders(option, tmp_path, call):
    LAYOUTS["Teachable Machine"](tmp_path)
    result = call("check", str(tmp_path), option)
    assert result.code == 2
    [error] = result.errors
    assert error.startswith(f"{option.split('=')[0]}: has no effect on a folder")


@pytest.fixture
def long_takes(tmp_path):
    """Twelve recordings of five words each, in label folders."""
    for word in WORDS:
        for speaker in range(6):
            recording(tmp_path / word / f"spk{speaker}.wav", word, speaker, n_words=5)
    return tmp_path


def test_long_takes_are_said_with_the_commands_that_take_them_apart(long_takes, call):
    warning = (
        "speechcls: warning: 12 clips last up to 5.0 s, 6 times longer than the window of 0.9 s"
        f" ({long_takes}/non/spk0.wav first): only the loudest part of each is used, 82 % of the"
        " sound is not; take them apart in place with --segment, or with speechcls record LABEL"
        " --from FILE"
    )
    result = call("check", str(long_takes))
    assert warning in result.stderr.splitlines()


def test_segment_takes_them_apart_in_place(long_takes, call):
    result = call("check", str(long_takes), "--segment")
    assert result.stderr.splitlines()[:2] == [
        "speechcls: labels non, oui",
        "speechcls: 12 recordings taken apart into 60 clips",
    ]
    assert result.stdout.startswith("clips     60 of 2 labels")
    out = str(long_takes.parent / "model")
    options = ("--segment", "--size", "tiny", "--epochs", "1", "--epoch-clips", "1", "--closed")
    trained = call("train", str(long_takes), *options, "--out", out)
    assert trained.code == 0
    assert "2 labels, 60 clips" in trained.stderr
    assert f"evaluate {long_takes} --segment --model {out}" in trained.stderr
    evaluated = call("evaluate", str(long_takes), "--segment", "--model", out)
    assert re.search(r"scored +10 clips of the test split", evaluated.stdout)
