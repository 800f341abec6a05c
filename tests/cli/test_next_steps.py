"""What comes next: commands say it, and training in a terminal shows how it goes."""

import re
import shlex
import shutil

import pytest


def next_of(result):
    """The commands that a run names to go on with, as words."""
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", result.stderr)
    lines = [line.partition("speechcls: ")[2] for line in shown.splitlines()]
    starts = [number for number, line in enumerate(lines) if line.startswith("next: speechcls ")]
    if not starts:
        return []
    own = [lines[starts[0]].removeprefix("next: ")]
    for line in lines[starts[0] + 1 :]:
        if not line.startswith("      speechcls "):
            break
        own.append(line.strip())
    return [shlex.split(line)[1:] for line in own]


def test_record_goes_on_to_the_next_word_and_then_to_check(home, tmp_path, call):
    for label, expected in (("low", ["record"]), ("high", ["record", "check"])):
        result = call(
            *("record", label, "--speaker", "ann", "--out", tmp_path / "my data"),
            *("--from", home.clip(label), "--takes", "1", "--duration", "0.8"),
        )
        assert result.code == 0, result.stderr
        steps = next_of(result)
        assert [step[0] for step in steps] == expected
        assert all(str(tmp_path / "my data") in step for step in steps)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("check {data}", [["train", "{data}"]]),
        ("predict {clip} -m {model}", [["explain", "{clip}", "--model", "{model}"]]),
        ("predict {data}/low -m {model}", [["evaluate", "{data}/low", "--model", "{model}"]]),
        ("detect {clip} -m {model}", [["detect", "{clip}", "--save-events", "kept"]]),
        (
            "evaluate {data} -m {model}",
            [
                ["listen", "--model", "{model}"],
                ["evaluate", "{data}", "--model", "{model}", "--report", "report"],
            ],
        ),
        ("features {clip}", [["explain", "{clip}"]]),
        (
            "explain {clip} -m {model} --html {page}",
            [["features", "{clip}"]],
        ),
        (
            "evaluate {data} -m {model} --report {page}",
            [["explain", "CLIP", "--model", "{model}"]],
        ),
        ("report {page}", [["explain", "CLIP", "--model", "{model}"]]),
        ("verify {model}", [["predict", "CLIP", "--model", "{model}"]]),
    ],
)
def test_what_only_prints_names_it_in_a_terminal(
    home, tmp_path, run_in_terminal, command, expected
):
    page = tmp_path / "page"
    places = {"data": home.data, "model": home.model, "clip": home.clip("low"), "page": page}
    if command.startswith("report"):
        run_in_terminal("evaluate", home.data, "-m", home.model, "--report", page, "-q")
    words = [word.format(**places) for word in command.split()]
    shown = run_in_terminal(*words)
    assert shown.code == 0
    assert next_of(shown) == [[word.format(**places) for word in step] for step in expected]


def test_compare_goes_on_to_where_two_models_part(home, tmp_path, run_in_terminal):
    shutil.copytree(home.model, tmp_path / "other")
    shown = run_in_terminal(
        "compare", home.model, tmp_path / "other", "--data", home.data, "--no-speed"
    )
    assert shown.code == 0
    both = ["--model", str(home.model), "--model", str(tmp_path / "other")]
    assert next_of(shown) == [["explain", "CLIP", *both]]


def test_synth_goes_on_to_other_words_unless_there_are_some(tmp_path, call):
    pytest.importorskip("espeakng_loader", reason="pip install 'speechcls[synth]'")
    out = tmp_path / "data"
    place = ["--out", str(out)]
    steps = next_of(call("synth", "yes", *place, "--per-word", "2"))
    other = ["synth", "_unknown_", *place, "--per-word", "2"]
    assert steps == [other, ["check", str(out)], ["train", str(out)]]
    made = call(*other)
    assert next_of(made) == steps[1:]
    assert "wrote 2 clips of other words to" in made.stderr


def test_scripts_and_who_wants_it_quiet_are_not_told(home, call, run_in_terminal):
    words = ["verify", home.model]
    assert next_of(call(*words)) == []
    assert next_of(run_in_terminal(*words, "-q")) == []


def test_training_in_a_terminal_draws_the_curve_and_the_worst_confusion(
    home, tmp_path, run_in_terminal
):
    result = run_in_terminal(
        *("train", home.data, "--arch", "gru", "--hidden-size", "16", "--epochs", "2"),
        *("--lr", "1e-5", "--epoch-clips", "1", "--closed", "--out", tmp_path / "model"),
    )
    assert result.code == 0
    for drawn in ("100 % |", " 50 % |", "  0 % |", " loss |████", "worst: ", " taken for "):
        assert drawn in result.stderr
    lines = result.stderr.replace("\r", "\n").splitlines()
    assert sum("speechcls: epoch 1/2  loss" in line for line in lines) == 1  # above, once
    # It has learnt nothing, and says so.
    assert "warning: " in result.stderr
    assert result.stdout == f"{tmp_path / 'model'}\n"
