"""The README is short, links to what is there, and names commands and options that exist.

What its commands print is compared in tests/scale/test_readme.py.
"""

import re
import shlex
from pathlib import Path

import pytest
import typer

from speechcls.cli.app import COMMANDS, TOPICS, app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MADE = {"SECURITY.md", "CHANGELOG.md", "commands/index.md"}
MADE |= {f"commands/{name}.md" for name in COMMANDS} | {f"topics/{name}.md" for name in TOPICS}
MADE |= {f"models/{path.name}.md" for path in (ROOT / "models").iterdir()}
"""Pages of the manual that are no files of docs: see benchmarks/manual.py."""
PROGRAM = typer.main.get_command(app)


@pytest.fixture
def common(monkeypatch):
    """The helpers, which read sessions as ``benchmarks/transcripts.py`` does."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import common_readme

    return common_readme


def test_it_is_two_screens():
    assert len(README.splitlines()) <= 125


def test_every_link_leads_to_a_file_and_a_heading(common):
    documents = [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
    broken = []
    for document in documents:
        for link in common.links(document.read_text(encoding="utf-8")):
            name, _, anchor = link.partition("#")
            if re.match(r"https?:", name) or _is_generated(document, name):
                continue
            target = (document.parent / name).resolve() if name else document
            headings = common.anchors(target.read_text(encoding="utf-8")) if anchor else ()
            if not target.exists() or (anchor and anchor not in headings):
                broken.append((document.name, link))
    assert broken == []


def _is_generated(document, name):
    """Whether a link of the manual leads to a page that ``make docs`` makes of something else."""
    if "docs" not in document.parts:
        return False
    place = (document.parent / name).resolve()
    return place.is_relative_to(ROOT / "docs") and str(place.relative_to(ROOT / "docs")) in MADE


def test_anchors_are_those_of_the_headings(common):
    text = "# A b\n```sh\n# no\n```\n## `code`, and [a link](x.md): 8 bits\n"
    assert common.anchors(text) == {"a-b", "code-and-a-link-8-bits"}
    assert common.links("[a](b.md#c) `[no](no.md)`\n```\n[no](no.md)\n```\n![d](e.png)") == [
        *("b.md#c", "e.png")
    ]


def commands_in(text):
    """The command lines of the shell blocks of a text, without comments."""
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["speechcls"]:
                yield words[1:]


def test_the_commands_that_are_not_run_can_be():
    named = list(commands_in(README))
    assert {words[0] for words in named} >= {"record", "train"}
    for words in named:
        command = PROGRAM.get_command(None, words[0])
        command.make_context(words[0], words[1:], resilient_parsing=True)
        options = {name for param in command.params for name in param.opts}
        assert {word.split("=")[0] for word in words if word.startswith("-")} - {"-"} <= options


def test_every_command_is_named_once():
    table = README[README.index("| to | use |") :]
    named = re.findall(r"`([a-z]+)`", table)
    assert {*named} == {*COMMANDS} - {"help"}
    assert len(named) == len({*named})
