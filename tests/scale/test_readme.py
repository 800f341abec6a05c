"""The commands of the README run in an empty folder, in order, and print what it says."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def common(monkeypatch):
    """The helpers, which read sessions as ``benchmarks/transcripts.py`` does."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import common_readme

    return common_readme


def test_every_command_of_the_readme_prints_what_it_says(common, tmp_path):
    pytest.importorskip("espeakng_loader", reason="pip install 'speechcls[synth]'")
    from transcripts import find_steps, prepare, run_step

    steps = find_steps((ROOT / "README.md").read_text(encoding="utf-8"))
    assert [step.command.split()[1] for step in steps] == [
        *("synth", "check", "train", "evaluate", "listen"),
    ]
    environment = prepare(tmp_path / "fresh")
    for step in steps:
        printed = run_step(step.command, tmp_path / "fresh" / "work", environment)
        assert common.matches(step.command, list(step.lines), printed), (
            step.command,
            "\n".join(printed),
        )


def test_what_differs_from_the_readme_is_noticed(common):
    said = ["labels a, b", "...", "saved m: 90.0 %, best epoch 2 of 4", "m"]
    same = ["labels a, b", "x", "y", "saved m: 84.5 %, best epoch 4 of 4", "m"]
    assert common.matches("speechcls train data", said, same)
    assert common.matches("speechcls train data", said, [same[0], *same[3:]])
    assert not common.matches("speechcls train data", said, same[3:])
    assert not common.matches("speechcls check data", said, same)
    far = [line.replace("84.5", "79.5") for line in same]
    assert not common.matches("speechcls train data", said, far)
    assert not common.matches("speechcls train data", said, ["labels a", *same[1:]])
