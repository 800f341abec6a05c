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
    linked = {}
    for page in [DOCS.parent / "README.md", *DOCS.rglob("*.md")]:
        links = re.findall(r"\]\(([^)\s]*pictures/[^)\s]+)\)", page.read_text(encoding="utf-8"))
        linked[page.name] = {(page.parent / link).resolve() for link in links}
    stems = {name: {path.stem for path in paths} for name, paths in linked.items()}
    assert stems["3-lstm.md"] >= {"lstm"} and stems["2-rnn.md"] >= {"rnn"}
    assert stems["WALK.md"] >= {"walk-curves", "walk-confusion", "walk-explain"}
    assert stems["README.md"] == {"session"}
    pictures = {path.resolve() for path in (DOCS / "pictures").iterdir()}
    assert {path for paths in linked.values() for path in paths} <= pictures
    for picture in pictures:
        most = 1_000_000 if picture.suffix == ".gif" else 150_000
        assert picture.stat().st_size <= most, picture
