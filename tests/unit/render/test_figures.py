"""How figures come to the disk, and the pictures of the documentation."""

import re
from pathlib import Path

import pytest

from speechcls.errors import ConfigError
from speechcls.render.figures import as_text, new_figure, save_figure

DOCS = Path(__file__).parents[3] / "docs"


def make_figure():
    figure = new_figure(2.0, 2.0)
    figure.subplots().plot([0, 1], label=as_text("_unknown_"))
    figure.axes[0].set_title(as_text("a $x$ \udce9 日本"))
    figure.axes[0].legend()
    return figure


def test_a_figure_is_written_whole_and_alike_each_time(tmp_path):
    for name in ("a.svg", "b.svg", "c.PNG", "d.png"):
        save_figure(make_figure(), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg", "c.PNG", "d.png"]
    svg = (tmp_path / "a.svg").read_text()
    assert svg == (tmp_path / "b.svg").read_text()
    assert (tmp_path / "c.PNG").read_bytes() == (tmp_path / "d.png").read_bytes()
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    assert "a $x$ \\udce9 日本" in svg  # as text, and as it is
    assert "_unknown_" in svg


def test_other_endings_are_refused_and_nothing_is_written(tmp_path):
    for name in ("a.jpg", "a", "png"):
        with pytest.raises(ConfigError, match=r"unknown kind of picture; .* \.png or \.svg"):
            save_figure(make_figure(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_every_picture_of_the_documentation_is_there_and_small():
    pages = "".join(path.read_text() for path in sorted((DOCS / "lesson").glob("*.md")))
    linked = re.findall(r"\]\(\.\./(pictures/[^)]+)\)", pages)
    assert {Path(link).stem for link in linked} >= {"rnn", "lstm", "gru", "bilstm", "explain"}
    shown = re.findall(r"\]\(docs/(pictures/[^)]+)\)", (DOCS.parent / "README.md").read_text())
    assert {Path(link).stem for link in shown} >= {"walk-curves", "walk-confusion", "walk-explain"}
    pictures = {path.relative_to(DOCS).as_posix() for path in (DOCS / "pictures").iterdir()}
    assert pictures == {*linked, *shown}
    for picture in pictures:
        assert (DOCS / picture).stat().st_size <= 150_000, picture
