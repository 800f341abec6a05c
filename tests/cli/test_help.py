"""Help, its examples, and the exit code of wrong usage."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer

import speechcls
from speechcls.cli.app import GROUPS, START, TOPICS, app
from speechcls.runtime.writers import EVENT_FORMATS, LIVE_FORMATS, PREDICTION_FORMATS

PROGRAM = typer.main.get_command(app)
COMMANDS_AS_LISTED = PROGRAM.list_commands(None)
COMMANDS = sorted(COMMANDS_AS_LISTED)


def paragraphs(text):
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]


def example_of(command, call):
    [example] = [p for p in paragraphs(call(command, "--help").stdout) if p.startswith("Example: ")]
    program, *arguments = shlex.split(example.removeprefix("Example: "))
    assert program == "speechcls"
    return arguments


def test_the_commands_are_these():
    every = "archs bench calibrate detect evaluate listen mix predict record synth train"
    assert set(every.split()) <= set(COMMANDS)


def options_of(command):
    """Each option of a command: its spellings, by the name of its parameter."""
    params = PROGRAM.get_command(None, command).params
    return {p.name: p.opts for p in params if p.param_type_name == "option"}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "help"])
def test_every_command_can_be_quiet_and_verbose(command):
    options = options_of(command)
    assert options["quiet"] == ["--quiet", "-q"]
    assert options["verbose"] == ["--verbose", "-v"]


SPELLINGS = {
    "out": ["--out", "-o"],
    "model": ["--model", "-m"],
    "as_json": ["--json"],
    "as_csv": ["--csv"],
    "threshold": ["--threshold"],
    "labels": ["--labels"],
    "seed": ["--seed"],
    "device": ["--device"],
    "microphone": ["--microphone"],
    "commands": ["--commands"],
    "pattern": ["--pattern"],
    "noise": ["--noise"],
    "jobs": ["--jobs"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_means_the_same_is_spelled_alike(command):
    options = options_of(command)
    assert {name: options[name] for name in SPELLINGS if name in options} == {
        name: spelling for name, spelling in SPELLINGS.items() if name in options
    }
    # no unit in a name: it stands in place of the value
    names = [name for spellings in options.values() for name in spellings]
    assert not [name for name in names if re.search(r"-(s|ms|db|hz)$", name)]


@pytest.mark.parametrize(
    ("command", "option", "unit"),
    [("detect", "--smoothing", "SECONDS"), ("mix", "--snr", "DB"), ("listen", "--rate", "HZ")],
)
def test_the_unit_stands_in_place_of_the_value(command, option, unit, call):
    assert f"  {option} {unit} " in call(command, "--help").stdout


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_opens_with_a_sentence_and_ends_with_an_example(command, option, call):
    result = call(command, option)
    assert (result.code, result.stderr) == (0, "")
    usage, sentence, *more = paragraphs(result.stdout)
    assert usage.startswith(f"Usage: {app.info.name} {command}") or command in usage
    assert re.fullmatch(r"[A-Z][^.]+\.", sentence), sentence
    assert example_of(command, call)[0] == command
    # what follows the example are the lists of arguments and options
    after = more[[p.startswith("Example: ") for p in more].index(True) + 1 :]
    more_options = rf"\d+ more options?: speechcls {command} --help-all"
    assert all(re.match(r"[A-Z]\w+:", p) or re.fullmatch(more_options, p) for p in after), after
    # every option says what it does
    assert not re.search(r"^  -\S+(, --\S+)?( [A-Z]+)?$\n(?!    )", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_30_options_at_most(command, call):
    shown = re.findall(r"^  -", call(command, "--help").stdout, re.MULTILINE)
    assert len(shown) <= 30


def test_help_of_the_program_names_every_command(call):
    result = call("--help")
    assert (result.code, result.stderr) == (0, "")
    assert paragraphs(result.stdout)[1].endswith(".")
    text = " ".join(result.stdout.split())
    for command in COMMANDS:
        sentence = paragraphs(call(command, "--help").stdout)[1]
        assert f" {command} {sentence}" in text  # the same as in the command's own help


def test_alone_it_tells_how_to_start(call):
    result = call()
    assert (result.code, result.stdout, result.stderr) == (2, "", f"{START}\n")
    assert max(map(len, START.splitlines())) < 100
    commands = re.findall(r"speechcls (\w[\w -]*)", START.partition("\n")[2])
    assert [line.split()[0] for line in commands] == [
        *("record", "synth", "check", "train", "evaluate", "listen", "predict", "help", "help")
    ]
    assert {"train", "data"} <= {*COMMANDS, *TOPICS}  # of which it says help train, help data


def test_version(call, run):
    expected = (0, f"speechcls {speechcls.__version__}\n", "")
    for result in (call("--version"), run("--version")):
        assert (result.code, result.stdout, result.stderr) == expected


@pytest.fixture(scope="module")
def workplace(home, tmp_path_factory, make_tones):
    """A folder with data/, clip.wav and models/, as the examples have it."""
    folder = tmp_path_factory.mktemp("workplace")
    data = make_tones(folder / "data", n_speakers=12, n_takes=1)
    (data / "low").rename(data / "no")
    (data / "high").rename(data / "yes")
    shutil.copy(home.clip("low"), folder / "clip.wav")
    (folder / "noise").mkdir()
    hiss = np.random.default_rng(0).normal(0.0, 0.01, 20 * 16_000)
    soundfile.write(folder / "noise" / "hiss.wav", hiss, 16_000)
    clips = [soundfile.read(home.clip("low", f"s{n:02}_nohash_0"))[0] for n in (0, 1, 8)]
    soundfile.write(folder / "recording.wav", np.concatenate(clips), 16_000)
    return folder


def test_the_examples_run(workplace, call, monkeypatch):
    """In the order in which a person needs them: first a model, then what uses it."""
    monkeypatch.chdir(workplace)
    # synth, tune, and compare, which needs two models, have a test of their own; a server never
    # ends, and the Hub is elsewhere.
    others = ("synth", "compare", "tune", "serve", "wyoming", "push", "pull")
    commands = [command for command in COMMANDS if command not in others]
    examples = {command: example_of(command, call) for command in commands}
    assert "data/" in examples["train"]
    trained = call(*examples.pop("train"))
    assert trained.code == 0, trained.stderr
    assert trained.stdout == "models/data-gru\n"
    results = {command: call(*example) for command, example in examples.items()}
    assert {command: result.code for command, result in results.items()} == dict.fromkeys(
        examples, 0
    ), results
    # A model of so few clips is too unsure to tell anything of running sound.
    assert results["listen"].stderr.splitlines()[-1].startswith("speechcls: listened for 0.5 s")
    unsure = {"detect", "listen"}
    assert all(result.stdout for command, result in results.items() if command not in unsure)
    [[path, label, _]] = results["predict"].rows
    assert (path, label) == ("clip.wav", "no")
    assert results["archs"].stdout.split()[:2] == ["arch", "hidden"]
    assert results["mix"].stdout == "stream/recording.wav\n"
    assert [row[0] for row in results["calibrate"].rows] == ["yes", "no"]
    [heading, line] = results["bench"].stdout.splitlines()
    assert heading.split()[:2] == ["model", "parameters"]
    assert line.split()[0] == trained.stdout.strip()


def test_the_example_of_synth_runs(tmp_path, call, run):
    pytest.importorskip("espeakng_loader", reason="pip install 'speechcls[synth]'")
    arguments = example_of("synth", call)
    # as it stands but for the number of clips
    result = run(*arguments, "--per-word", "3", cwd=tmp_path)
    assert (result.code, result.stdout) == (0, ""), result.stderr
    words = arguments[1 : arguments.index("--out")]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == sorted(words)
    for word in words:
        clips = list((tmp_path / "data" / word).iterdir())
        assert len(clips) == 3
        assert all(soundfile.info(clip).samplerate == 16_000 for clip in clips)


WRONG = {
    "no such command": ["nonsense"],
    "no such option": ["predict", "--no-such-option", "clip.wav"],
    "nothing to predict": ["predict"],
    "two formats": ["predict", "clip.wav", "--json", "--csv"],
    "stdin twice": ["predict", "-", "--files-from", "-"],
    "top-k 0": ["predict", "clip.wav", "--top-k", "0"],
    "threshold 2": ["predict", "clip.wav", "--threshold", "2"],
    "jobs 0": ["predict", "clip.wav", "--jobs", "0"],
    "nothing to train on": ["train"],
    "text for a number": ["train", "data/", "--epochs", "many"],
    "max-bad 2": ["train", "data/", "--max-bad", "2"],
    "nothing to evaluate": ["evaluate"],
    "evaluating two things": ["evaluate", "data/", "--stream", "clip.wav", "--truth", "t.csv"],
    "no truth": ["evaluate", "--stream", "clip.wav"],
    "an accuracy of a stream": [
        *("evaluate", "--stream", "clip.wav", "--truth", "t.csv", "--min-accuracy", "0.5")
    ],
    "nothing to mix with": ["mix", "data/"],
    "nothing to calibrate on": ["calibrate"],
    "min-accuracy 90": ["evaluate", "data/", "--min-accuracy", "90"],
    "bench on 0 threads": ["bench", "--jobs", "0"],
    "a source that is none": ["listen", "clip.wav"],
    "two sources": ["listen", "-", "--from", "clip.wav"],
    "listening at speed -1": ["listen", "--from", "clip.wav", "--speed", "-1"],
    "nothing to record": ["record"],
    "nothing to review": ["review"],
    "a missed word without its place": ["review", "kept", "--missed", "yes", "clip.wav"],
    "0 takes": ["record", "yes", "--takes", "0"],
    "nothing to tune on": ["tune"],
    "text for a number of trials": ["tune", "data/", "--trials", "many"],
    "layers of 0": ["archs", "--num-layers", "0"],
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_wrong_usage_ends_with_2(arguments, workplace, call, monkeypatch):
    monkeypatch.chdir(workplace)
    result = call(*arguments)
    assert (result.code, result.stdout) == (2, "")
    error, advice = result.stderr.splitlines()
    assert error.startswith("speechcls: error: ")
    command = "" if arguments[0] not in COMMANDS else f" {arguments[0]}"
    assert advice == f"  for help: speechcls{command} --help"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "no command 'trian'; did you mean train?"),
        (
            ["nonsense"],
            f"no command 'nonsense'; there are {', '.join(PROGRAM.list_commands(None))}",
        ),
        (["--jobs", "2", "predict"], "no option --jobs"),
        (
            ["predict", "a.wav", "--thresold", "2"],
            "no option --thresold; did you mean --threshold?",
        ),
        (["predict", "a.wav", "-x"], "no option -x"),
        (["predict", "a.wav", "--top-k", "0"], "--top-k: 0 is not in the range x>=1"),
        (["predict", "a.wav", "--model"], "option '--model' requires an argument"),
        (
            ["check"],
            "DATA: not given; folder of recordings, or manifests of one data set (see help data)",
        ),
        (
            ["train"],
            "DATA: not given; name the folder that holds a folder of recordings for each word",
        ),
        (["config"], "no command 'config'; did you mean speechcls help config?"),
        (["mix", "data/"], "--noise: not given; folder of background noise"),
        (["archs", "gru"], "got unexpected extra argument(s) (gru)"),
        (["help", "modles"], "no command or topic 'modles'; did you mean models?"),
    ],
)
def test_wrong_usage_is_told_in_one_line(arguments, said, call):
    assert call(*arguments).errors == [said]


def test_a_path_in_place_of_a_command_is_told_what_reads_it(home, monkeypatch, call):
    monkeypatch.chdir(home.data.parent)
    name, clip = home.data.name, home.clip("low")
    Path("data").mkdir()  # which is a topic of help too
    assert call("data").errors == [
        "no command 'data'; did you mean speechcls check data, or train?"
    ]
    Path("data").rmdir()
    assert call(name).errors == [
        f"no command '{name}'; did you mean speechcls check {name}, or train?"
    ]
    assert call(clip).errors == [
        f"no command '{clip}'; did you mean speechcls predict {clip}, or detect?"
    ]


def test_what_is_wrong_in_the_command_and_what_typer_finds_look_alike(run):
    typers, ours = run("predict", "--no"), run("predict")
    for result in (typers, ours):
        assert result.code == 2
        error, advice = result.stderr.splitlines()
        assert error.startswith("speechcls: error: ")
        assert advice == "  for help: python -m speechcls predict --help"


NO_EFFECT = {
    "--truth": ["evaluate", "data/", "--truth", "t.csv"],
    "--threshold": ["evaluate", "data/", "--threshold", "0.5"],
    "--report": ["evaluate", "--stream", "a.wav", "--truth", "t.csv", "--report", "out"],
    "--jobs": ["evaluate", "--stream", "a.wav", "--truth", "t.csv", "--jobs", "1"],
    "--null": ["predict", "a.wav", "-0"],
    "--format": ["detect", "a.wav", "--json", "--format", "csv"],
    "--channel": ["detect", "a.raw", "--rate", "8000", "--channel", "1"],
    "--every": ["detect", "a.wav", "--every", "0.2", "--model", "STREAM"],
    "--speed": ["listen", "-", "--speed", "2"],
    "--rate": ["listen", "--from", "a.wav", "--rate", "8000"],
    "--labels": ["listen", "--list-microphones", "--labels", "yes"],
    "--pattern": ["calibrate", "--noise", "noise", "--pattern", "{label}"],
    "--hidden-size": ["archs", "--size", "tiny", "--hidden-size", "9"],
    "--json": ["cache", "clear", "--json"],
    "--seeds": ["compare", "a", "b", "--data", "data/", "--seeds", "2"],
}


@pytest.mark.parametrize("option", NO_EFFECT)
def test_an_option_without_effect_is_refused_by_name(option, call):
    bundled = Path(__file__).parents[2] / "models" / "commands-stream"
    result = call(*(str(bundled) if word == "STREAM" else word for word in NO_EFFECT[option]))
    assert (result.code, result.stdout) == (2, "")
    [error] = result.errors
    assert error.startswith(f"{option}: has no effect ")


def test_help_is_also_a_command(call):
    assert call("help").stdout == call("--help").stdout
    assert call("help", "detect").stdout == call("detect", "--help").stdout


def test_help_lists_commands_by_what_they_are_for(call):
    lines = call("help").stdout.splitlines()
    for group, commands in GROUPS.items():
        start = lines.index(f"{group}:") + 1
        listed = [line.split()[0] for line in lines[start:] if re.match(r"  \S", line)]
        assert listed[: len(commands)] == list(commands)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_a_page_of_text(topic, call):
    result = call("help", topic)
    assert (result.code, result.stderr) == (0, "")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stdout.startswith(f"{TOPICS[topic]}\n\n")


def test_the_topics_name_what_there_is(call):
    formats = call("help", "formats").stdout
    named = re.findall(r"--format (\w+)", formats)
    assert named == [*PREDICTION_FORMATS, *EVENT_FORMATS, *LIVE_FORMATS]
    codes = re.findall(r"^  (\d+) ", call("help", "exit-codes").stdout, re.MULTILINE)
    assert codes == ["0", "1", "2", "130", "143", "129"]


IMPOSSIBLE = {
    "arch": (
        ["train", "data/", "--arch", "transformer"],
        ["transformer", "rnn", "lstm", "gru", "birnn", "bilstm", "bigru"],
    ),
    "readout": (["train", "data/", "--readout", "first"], ["first", "last", "mean", "attention"]),
    "features": (["train", "data/", "--features", "cqt"], ["features", "cqt", "mfcc", "log-mel"]),
    "split": (
        ["evaluate", "data/", "--split", "half"],
        ["half", "auto", "train", "validation", "test", "all"],
    ),
    "device": (["train", "data/", "--device", "abacus"], ["abacus", "cpu"]),
    "hidden-size": (["train", "data/", "--hidden-size", "0"], ["hidden-size", "0", "positive"]),
    "n-mfcc": (
        ["train", "data/", "--features", "mfcc", "--n-mfcc", "81"],
        ["n-mfcc", "81", "at most n_mels (40)"],
    ),
    "trials": (["tune", "data/", "--trials", "0"], ["trials", "0", "positive"]),
    "minutes": (["tune", "data/", "--minutes", "-1"], ["minutes", "-1", "positive"]),
    "archs": (["tune", "data/", "--archs", "gru,transformer"], ["archs", "transformer", "rnn"]),
    "fmax": (["train", "data/", "--sample-rate", "8000"], ["fmax", "7600", "4000 Hz"]),
}


@pytest.fixture
def impossible(request, workplace, home, call, monkeypatch, tmp_path):
    arguments, words = IMPOSSIBLE[request.param]
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("SPEECHCLS_MODEL", str(home.model))
    if arguments[0] == "train":
        arguments = [*arguments, "--out", str(tmp_path / "model")]
    return call(*arguments), words, tmp_path / "model"


@pytest.mark.parametrize("impossible", IMPOSSIBLE, indirect=True)
def test_an_impossible_value_is_told_with_those_that_are_possible(impossible):
    result, words, place = impossible
    assert result.code != 0
    assert result.stdout == ""
    [error] = result.errors or [result.stderr]
    assert [word for word in words if word not in error] == []
    assert not place.exists()


@pytest.mark.parametrize("impossible", IMPOSSIBLE, indirect=True)
def test_an_impossible_value_is_wrong_usage(impossible):
    result, _, _ = impossible
    assert result.code == 2


def test_an_unknown_arch_is_refused_before_the_clips_are_read(tmp_path, make_tones, call):
    data = make_tones(tmp_path / "data", n_speakers=3)
    for clip in data.rglob("*.wav"):
        clip.write_text("not a recording")
    result = call("train", data, "--arch", "transformer", "--out", tmp_path / "model")
    assert "transformer" in result.stderr
    assert "bigru" in result.stderr
