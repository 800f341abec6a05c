"""The lesson in docs: its notebook, links, commands, and the names that its exercises use."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from speechcls.cli.app import app

ROOT = Path(__file__).parents[2]
CONTENTS = ROOT / "docs" / "HOW-IT-WORKS.md"
PAGES = sorted((ROOT / "docs" / "lesson").glob("[0-9]-*.md"))
PROGRAM = typer.main.get_command(app)
TEMPLATE = (ROOT / "speechcls" / "templates" / "explain.html").read_text(encoding="utf-8")


def without_blocks(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """What the headings of a page are linked by, as GitHub has it."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(path.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(text):
    """Each command line of ``speechcls`` in a page, in its blocks and in its sentences."""
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S))
    lines = [line.strip() for line in blocks.replace("\\\n", " ").splitlines()]
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", without_blocks(text))]
    return [line for line in lines if re.match(r"speechcls [a-z]", line)]


def test_the_lesson_has_six_pages():
    assert [path.name[0] for path in PAGES] == list("123456")


def test_the_notebook_is_made_of_the_pages(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import lesson

    blocks = [block for path in PAGES for block in lesson.code_blocks(path.read_text("utf-8"))]
    cells = [cell for cell in lesson.notebook()["cells"] if cell["cell_type"] == "code"]
    assert ["".join(cell["source"]) for cell in cells] == [block.strip("\n") for block in blocks]
    assert len(blocks) >= 12
    assert lesson.NOTEBOOK.read_text("utf-8") == lesson.notebook_text(), "run make lesson"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_each_page_has_a_picture_slips_and_three_exercises(path):
    text = path.read_text(encoding="utf-8")
    assert "](../pictures/" in text
    assert {"usual-slips", "exercises"} <= anchors(path)
    exercises = text.partition("## Exercises\n")[2]
    assert re.findall(r"^\*\*(\d)\.\*\*", exercises, re.M) == ["1", "2", "3"]
    folded = r'^<details markdown="1"><summary>Answer</summary>\n\n.+?\n\n</details>$'
    assert len(re.findall(folded, exercises, re.M | re.S)) == 3
    assert "assert " in text


@pytest.mark.parametrize("path", [CONTENTS, *PAGES], ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    text = without_blocks(path.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = link.partition("#")
        place = (path.parent / file).resolve() if file else path
        assert place.is_file(), link
        assert not anchor or anchor in anchors(place), link


def test_the_contents_keep_the_anchors_that_others_link_to():
    assert anchors(CONTENTS) >= {
        "from-sound-to-numbers",
        "a-simple-recurrent-network",
        "the-lstm-a-memory-with-gates",
        "slips-often-seen-in-lecture-notes",
        "the-gru-the-same-with-less",
        "both-directions",
        "how-the-states-become-probabilities",
        "before-you-begin",
        "further-on",
    }
    assert {f"lesson/{path.name}" for path in PAGES} <= set(
        re.findall(r"\]\(([^)#]+)\)", CONTENTS.read_text(encoding="utf-8"))
    )


def not_understood(line):
    """The name of a command, or its options, that do not exist."""
    _, name, *arguments = shlex.split(line)
    command = PROGRAM.get_command(None, name)
    if command is None:
        return [name]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    given = {word.partition("=")[0] for word in arguments if re.match(r"--?[a-z]", word)}
    return sorted(given - known)


@pytest.mark.parametrize("path", [CONTENTS, *PAGES], ids=lambda path: path.stem)
def test_every_command_that_is_named_is_understood(path):
    found = commands(path.read_text(encoding="utf-8"))
    assert found
    assert [line for line in found if not_understood(line)] == []


def test_a_command_that_is_not_understood_is_found():
    text = (
        "```sh\nspeechcls explain a.wav \\\n  --htlm a.html\n```\nOr `speechcls\nexplian a.wav`.\n"
    )
    assert [not_understood(line) for line in commands(text)] == [["--htlm"], ["explian"]]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_exercises_name_parts_of_the_page_of_explain(path):
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", TEMPLATE)
    exercises = path.read_text(encoding="utf-8").partition("## Exercises\n")[2]
    named = [" ".join(each.split()) for each in re.findall(r"\*\*([A-Z][^*]+)\*\*", exercises)]
    assert set(named) <= set(titles)
    assert named or path.name.startswith("6")


def test_exercises_explain_with_the_models_that_are_prepared():
    contents = CONTENTS.read_text(encoding="utf-8")
    [archs] = re.findall(r"^for arch in (.*); do$", contents, re.M)
    prepared = {f"models/{arch}" for arch in archs.split()}
    prepared |= set(re.findall(r"--out (models/[^\s$]+)$", contents, re.M))
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert set(re.findall(r"--model (models/\S+)", text)) == prepared
