"""Commands for events: their words, their order, and what is not run."""

import json
import sys
import threading

import pytest

from speechcls.errors import ConfigError
from speechcls.live import actions
from speechcls.live.actions import MAX_WAITING, CommandRunner, fill, parse_command
from speechcls.runtime.detection import Event


def event(label, end_s=1.5):
    return Event(end_s - 0.5, end_s, label, 0.98765)


def test_fields_are_replaced_within_the_words_that_a_shell_would_cut():
    words = parse_command("""echo 'a b' {label}--{probability} "at {time_s} s" {other} '{"a":1}'""")
    assert fill(words, event("x y")) == [
        *("echo", "a b", "x y--0.9877", "at 1.25 s", "{other}", '{"a":1}')
    ]


def test_a_label_is_never_taken_for_a_field_nor_for_shell():
    label = """{time_s} "; touch x; $(id) `id` 'q' *"""
    assert fill(["echo", "{label}"], event(label)) == ["echo", label]


@pytest.mark.parametrize(
    ("template", "fact"),
    [("", "command: is empty"), ("echo 'a", "no closing quotation"), ("no-such-x a", "no such")],
)
def test_an_impossible_command_is_refused(template, fact):
    with pytest.raises(ConfigError, match=fact):
        parse_command(template)


WRITE = "import sys, json; open(sys.argv[1], 'a').write(json.dumps(sys.argv[2:]) + '\\n')"


def test_each_event_runs_once_in_order_with_its_words_whole(tmp_path):
    labels = ["stop; touch x", "$(id)", 'two "words"', "-n", "{probability}", "é*"]
    troubles = []
    runner = CommandRunner(
        [sys.executable, "-c", WRITE, str(tmp_path / "log"), "{label}"], troubles.append
    )
    for label in labels:
        runner.start(event(label))
    runner.finish()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [[label] for label in labels]
    assert troubles == []


@pytest.fixture
def blocked(monkeypatch):
    """Commands that run until ``go`` is set; the list of those that ran."""
    go, has_begun, ran = threading.Event(), threading.Event(), []

    def run(words, **options):
        has_begun.set()
        assert go.wait(20)
        ran.append(words[-1])
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(actions.subprocess, "run", run)
    return go, has_begun, ran


def test_a_slow_command_blocks_nothing_and_what_cannot_wait_is_reported(blocked):
    go, has_begun, ran = blocked
    troubles = []
    runner = CommandRunner(["echo", "{label}"], troubles.append)
    runner.start(event("0"))
    assert has_begun.wait(20)
    for n in range(1, MAX_WAITING + 3):
        runner.start(event(str(n)))
    assert troubles == [
        f"echo {n}: not run, for {MAX_WAITING} commands are waiting already"
        for n in (MAX_WAITING + 1, MAX_WAITING + 2)
    ]
    go.set()
    runner.finish()
    assert ran == [str(n) for n in range(MAX_WAITING + 1)]


def test_giving_up_waits_for_what_runs_and_reports_what_does_not(blocked):
    go, has_begun, ran = blocked
    troubles = []
    runner = CommandRunner(["echo", "{label}"], troubles.append)
    runner.start(event("a"))
    assert has_begun.wait(20)
    runner.start(event("b"))
    threading.Timer(0.3, go.set).start()
    runner.finish(cancel=True)
    assert ran == ["a"]
    assert troubles == ["echo b: not run, for listening was ended"]


def test_failures_are_reported_and_the_next_command_runs(tmp_path):
    troubles = []
    script = "import sys, os; os.kill(os.getpid(), 9) if sys.argv[1] == 'x' else sys.exit(3)"
    runner = CommandRunner([sys.executable, "-c", script, "{label}"], troubles.append)
    for label in ("a", "x", "nul\0"):
        runner.start(event(label))
    runner.finish()
    runner = CommandRunner(["{label}"], troubles.append)
    runner.start(event("/no/such"))
    runner.finish()
    assert [trouble.split(": ")[-1] for trouble in troubles] == [
        "failed (exit code 3)",
        "failed (ended by signal 9)",
        "not run (embedded null byte)",
        "not run (no such file or directory)",
    ]
