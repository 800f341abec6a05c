"""A report in a folder: one self-contained page, its pictures, tables and clips."""

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from speechcls.artifact.card import without_front_matter
from speechcls.audio.samples import PCM
from speechcls.config import FeatureConfig
from speechcls.errors import ConfigError
from speechcls.evaluation.predictions import PREDICTIONS_FILE, Predictions, save_predictions
from speechcls.files import write_atomic
from speechcls.render.figures import save_both
from speechcls.render.html import data_uri, render
from speechcls.report.matrix import make_matrix
from speechcls.report.mistakes import (
    Mistake,
    Picture,
    load_sound,
    picture_name,
    save_clips,
    save_mistake,
)
from speechcls.report.results import Results
from speechcls.report.summary import find_weaknesses, next_steps, worst_pairs
from speechcls.report.tables import (
    MEASURES,
    N_MISTAKES,
    Table,
    format_cell,
    label_table,
    make_tables,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"
FIGURES, TABLES = "figures", "tables"
MAX_ROWS = 30
"""Rows of a longer table are folded; its CSV file is complete."""
MAX_BESIDE = 30
"""A confusion matrix of more labels is as wide as the page."""
N_OPEN = 5
"""Mistakes that are shown; the others are folded."""

_DARK = "@media (prefers-color-scheme:dark){svg{color:#e8eaed}}@media print{svg{color:#000}}"


def check_report_folder(folder: Path) -> None:
    """Refuse a folder with files that are not part of a report.

    Raises
    ------
    ConfigError
        Naming the folder.
    """
    if folder.is_dir():
        if not (folder / PREDICTIONS_FILE).is_file() and any(folder.iterdir()):
            raise ConfigError(
                f"{folder}: contains files that are not part of a report; name a new folder"
            )
    elif folder.exists():
        raise ConfigError(f"{folder}: is a file; name a folder for the report")


def save_report(
    predictions: Predictions,
    windows: Mapping[int, PCM],
    folder: Path,
    on_picture: Callable[[], None] = lambda: None,
) -> Path:
    """Write predictions, clips, pictures, tables and the page; return the path of the page.

    Parameters
    ----------
    windows : (n_samples,) int16 of each mistake at the model's rate, by the index of the clip
    on_picture : called after each picture
    """
    check_report_folder(folder)
    save_clips(predictions, windows, folder)
    save_predictions(predictions, folder / PREDICTIONS_FILE)
    return draw_report(predictions, folder, on_picture)


def count_pictures(predictions: Predictions) -> int:
    """Return how often ``draw_report`` calls ``on_picture``."""
    from speechcls.report import figures

    return len(figures.FIGURES) + len(predictions.mistakes(N_MISTAKES))


def draw_report(
    predictions: Predictions, folder: Path, on_picture: Callable[[], None] = lambda: None
) -> Path:
    """Write pictures, tables and the page of predictions; return the path of the page.

    The sound of the mistakes is read from the folder, where it is there. What an earlier report
    left is replaced or removed; other files stay.
    """
    from speechcls.report import figures

    results = Results(predictions)
    tables = make_tables(results)
    for table in tables.values():
        write_atomic(folder / TABLES / f"{table.name}.csv", table.csv())
    pictures = _save_pictures(results, folder, on_picture)
    mistakes = _save_mistakes(tables["mistakes"], predictions, folder, on_picture)
    html = render(
        PAGE,
        format_cell=format_cell,
        max_rows=MAX_ROWS,
        max_beside=MAX_BESIDE,
        max_named=figures.MAX_NAMED,
        n_open=N_OPEN,
        measures=MEASURES,
        results=results,
        about=predictions.about,
        card=_markdown(predictions.about.card),
        facts=_facts(predictions),
        tables=tables,
        labels=label_table(results),
        matrix=make_matrix(results),
        weaknesses=find_weaknesses(results),
        pairs=[(pair, load_sound(predictions, pair.clip, folder)) for pair in worst_pairs(results)],
        steps=next_steps(results),
        pictures=pictures,
        mistakes=mistakes,
    )
    write_atomic(folder / PAGE, html)
    return folder / PAGE


def _save_pictures(
    results: Results, folder: Path, on_picture: Callable[[], None]
) -> dict[str, Picture]:
    """Return the figures of a report as they are on the page, by name."""
    from speechcls.report.figures import FIGURES as REPORT_FIGURES

    pictures = {}
    for entry in REPORT_FIGURES:
        figure = entry.draw(results)
        if figure is None:
            _remove_picture(folder, entry.name)
        else:
            alt = entry.describe(results)
            pictures[entry.name] = _save_picture(folder, entry.name, figure, alt)
        on_picture()
    return pictures


def _save_mistakes(
    table: Table, predictions: Predictions, folder: Path, on_picture: Callable[[], None]
) -> list[Mistake]:
    """Return the mistakes as they are on the page."""
    config = FeatureConfig.from_dict(predictions.about.features)
    save, mistakes = functools.partial(_save_picture, folder), []
    for rank in range(1, N_MISTAKES + 1):
        if rank <= len(table.rows):
            mistakes.append(save_mistake(table, rank, config, folder, save))
            on_picture()
        if rank > len(mistakes) or mistakes[-1].picture is None:
            _remove_picture(folder, picture_name(rank))
    return mistakes


def _save_picture(folder: Path, name: str, figure: "Figure", alt: str) -> Picture:
    svg = save_both(figure, folder / FIGURES / name).decode()
    return Picture(data_uri("image/svg+xml", follow_page(svg)), alt)


def _remove_picture(folder: Path, name: str) -> None:
    """Remove the picture of an earlier report."""
    for kind in ("png", "svg"):
        (folder / FIGURES / f"{name}.{kind}").unlink(missing_ok=True)


def _facts(predictions: Predictions) -> list[tuple[str, str]]:
    """Return name and value of each fact about the model."""
    about = predictions.about
    config = FeatureConfig.from_dict(about.features)
    window = f"{config.duration_s:g} s at {config.sample_rate:,} Hz as {config.kind}"
    facts = [("model", about.model), ("labels", str(len(predictions.labels))), ("input", window)]
    for name, value in about.facts.items():
        text = (
            f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        )
        facts.append((name.removeprefix("n_").replace("_", " "), text))
    return facts


def _markdown(text: str) -> str:
    """Return a model card as HTML without links, pictures and markup of its own."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.disable(["link", "image", "autolink", "reference"])
    tokens = parser.parse(without_front_matter(text))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):  # it is below a heading of level 2
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    html: str = parser.renderer.render(tokens, parser.options, {})
    return html


def follow_page(svg: str) -> bytes:
    """Return an SVG in which black is the page's text colour and white is transparent."""
    svg = svg[svg.index("<svg") :]
    svg = svg.replace("#000000", "currentColor").replace("fill: #ffffff", "fill: none")
    # Text without a colour is black.
    style = f"<style>svg{{color:#000;fill:currentColor}}{_DARK}</style>"
    return re.sub(r"(<svg[^>]*>)", rf"\1{style}", svg, count=1).encode()
