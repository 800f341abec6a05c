"""A report in a folder: one page that needs nothing else, its pictures, tables and clips."""

import functools
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import soundfile

from speechcls.audio.samples import fit_length, to_float
from speechcls.audio.wav import wav_bytes
from speechcls.config import FeatureConfig
from speechcls.errors import ConfigError
from speechcls.evaluation.metrics import score
from speechcls.evaluation.predictions import FILE, Predictions, save_predictions
from speechcls.files import write_atomic
from speechcls.render.figures import save_both
from speechcls.render.html import data_uri, render
from speechcls.report.tables import (
    MEASURES,
    N_MISTAKES,
    Table,
    by_label,
    by_measure,
    by_speaker,
    confused_pairs,
    confusion_tables,
    curve_table,
    curves,
    data_summary,
    format_cell,
    mistake_table,
    prediction_table,
    reliability,
    worst_speakers,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"
FIGURES, TABLES, CLIPS = "figures", "tables", "clips"
MOST_ROWS = 30
"""A longer table is cut on the page; its CSV file holds it whole."""
MOST_COLUMNS = 20
"""A wider confusion matrix is on the page as a picture only."""

_DARK = "@media (prefers-color-scheme:dark){svg{color:#e8eaed}}@media print{svg{color:#000}}"

PCM = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Picture:
    """One picture on the page."""

    uri: str
    alt: str
    is_wide: bool = False


@dataclass(frozen=True)
class Mistake:
    """One wrong answer on the page; empty where the sound is not there."""

    row: tuple[str, ...]
    """Path, speaker, spoken, heard as, its probability, that of what was spoken."""
    picture: Picture | None
    sound: str


def check_place(folder: Path) -> None:
    """Refuse a folder that holds other things than a report.

    Raises
    ------
    ConfigError
        Saying what is there.
    """
    if folder.is_dir():
        if not (folder / FILE).is_file() and any(folder.iterdir()):
            raise ConfigError(f"{folder}: holds other things than a report; name a new folder")
    elif folder.exists():
        raise ConfigError(f"{folder}: is a file; name a folder for the report")


def save_report(
    predictions: Predictions,
    heard: Mapping[int, PCM],
    folder: Path,
    on_picture: Callable[[], None] = lambda: None,
) -> Path:
    """Write predictions, clips, pictures, tables and the page; return where the page is.

    Parameters
    ----------
    heard : 16-bit samples of the mistakes at the model's rate, by the number of the clip
    on_picture : called after each picture
    """
    check_place(folder)
    (folder / CLIPS).mkdir(parents=True, exist_ok=True)
    for old in (folder / CLIPS).glob("[0-9][0-9].wav"):
        old.unlink()  # first: no other clip may ever be heard in place of one that is missing
    save_predictions(predictions, folder / FILE)
    rate = FeatureConfig.from_dict(predictions.about.features).sample_rate
    for rank, i in enumerate(predictions.mistakes(N_MISTAKES), start=1):
        if i in heard:
            write_atomic(_clip_path(folder, rank), wav_bytes(heard[i], rate))
    return draw_report(predictions, folder, on_picture)


def count_pictures(predictions: Predictions) -> int:
    """Return how many pictures a report has at most."""
    return 9 + len(predictions.mistakes(N_MISTAKES))


def _clip_path(folder: Path, rank: int) -> Path:
    return folder / CLIPS / f"{rank:02}.wav"


def draw_report(
    predictions: Predictions, folder: Path, on_picture: Callable[[], None] = lambda: None
) -> Path:
    """Write pictures, tables and the page of predictions; return where the page is.

    The sound of the mistakes is that of ``folder / CLIPS``, where it is there.
    """
    from speechcls.report import figures as draw

    for name in (FIGURES, TABLES):
        (folder / name).mkdir(exist_ok=True)

    drawn = set()

    def picture(name: str, figure: "Figure", alt: str, is_wide: bool = False) -> Picture:
        svg = save_both(figure, folder / FIGURES / name).decode()
        on_picture()
        drawn.add(name)
        return Picture(data_uri("image/svg+xml", _follow_page(svg).encode()), alt, is_wide)

    speakers = [clip.speaker for clip in predictions.clips]
    scores = score(predictions.truth, predictions.predicted, predictions.labels, speakers)
    found = curves(predictions)
    labels, talkers = by_label(scores), by_speaker(predictions)
    sure, calibration_error = reliability(predictions)
    counts, shares = confusion_tables(scores)
    tables = {
        table.name: table
        for table in (
            labels, confused_pairs(scores), counts, shares, curve_table(found), sure, talkers,
            worst_speakers(talkers), *(by_measure(predictions, measure) for measure in MEASURES),
            mistake_table(predictions), data_summary(predictions), prediction_table(predictions),
        )
    }  # fmt: skip
    for table in tables.values():
        write_atomic(folder / TABLES / f"{table.name}.csv", table.csv())
    n_drawn, is_wide = len(draw.chosen_labels(scores)), len(draw.chosen_labels(scores)) > 14
    pictures = {
        "confusion": picture(
            "confusion",
            draw.draw_confusion(scores),
            f"Confusion matrix of {n_drawn} of {len(scores.labels)} labels. {_worst_pair(tables)}",
            is_wide,
        ),
        "labels": picture(
            "by_label",
            draw.draw_labels(labels, scores),
            "Recall and precision of each label with intervals, as in the table below.",
        ),
        "reliability": picture(
            "reliability",
            draw.draw_reliability(sure),
            "Share of right answers over the probability the model gave them, as in the table"
            f" below. Expected calibration error {100 * calibration_error:.1f} %.",
        ),
    }
    if found:
        alt = (
            f"The hardest label is {tables['roc_det'].rows[0][0]}; numbers are in the table below."
        )
        pictures["roc"] = picture("roc", draw.draw_roc(found), f"ROC curve of each label. {alt}")
        pictures["det"] = picture("det", draw.draw_det(found), f"DET curve of each label. {alt}")
    if len(talkers.rows) > 1:
        pictures["speakers"] = picture(
            "by_speaker",
            draw.draw_speakers(talkers),
            f"Accuracy of {len(talkers.rows)} speakers with intervals, the lowest first.",
        )
    for measure in MEASURES:
        table = tables[f"by_{measure}"]
        alt = f"{table.caption}: as in the table below."
        pictures[measure] = picture(table.name, draw.draw_measure(table), alt)
    mistakes = [
        _mistake(predictions, rank, folder, picture)
        for rank in range(1, len(tables["mistakes"].rows) + 1)
    ]
    html = render(
        PAGE,
        format_row=_format_row,
        most_rows=MOST_ROWS,
        most_columns=MOST_COLUMNS,
        most_named=draw.MOST_LABELS,
        scores=scores,
        about=predictions.about,
        card=_markdown(predictions.about.card),
        facts=_facts(predictions),
        tables=tables,
        pictures=pictures,
        mistakes=mistakes,
        n_drawn=n_drawn,
        calibration_error=calibration_error,
        n_speakers=len(talkers.rows),
    )
    page = folder / PAGE
    write_atomic(page, html)
    may_be = ("roc", "det", "by_speaker", *(f"mistake_{n:02}" for n in range(1, N_MISTAKES + 1)))
    for name in set(may_be) - drawn:  # of an earlier report in this place
        for kind in ("png", "svg"):
            (folder / FIGURES / f"{name}.{kind}").unlink(missing_ok=True)
    return page


def _worst_pair(tables: Mapping[str, Table]) -> str:
    pairs = tables["confused_pairs"].rows
    if not pairs:
        return "No clip was confused."
    return f"Most often {pairs[0][0]} was heard as {pairs[0][1]}: {pairs[0][2]} clips."


def _mistake(
    predictions: Predictions, rank: int, folder: Path, picture: Callable[..., Picture]
) -> Mistake:
    """Return one wrong answer with its clip, if that is there."""
    from speechcls.report.figures import draw_clip

    table = mistake_table(predictions)
    row = tuple(_format_row(table, table.rows[rank - 1]))
    path = _clip_path(folder, rank)
    config = FeatureConfig.from_dict(predictions.about.features)
    try:
        content = path.read_bytes()
        pcm, rate = soundfile.read(io.BytesIO(content), dtype="int16")
    except (OSError, soundfile.SoundFileError):
        return Mistake(row, None, "")
    if rate != config.sample_rate or pcm.ndim != 1 or not len(pcm):
        return Mistake(row, None, "")
    samples = fit_length(to_float(pcm), config.n_samples)
    figure = draw_clip(samples, _features(samples, config), config.duration_s)
    alt = f"Waveform and {config.kind} features of {row[0]}: {row[2]}, heard as {row[3]}."
    return Mistake(row, picture(f"mistake_{rank:02}", figure, alt), data_uri("audio/wav", content))


def _features(samples: npt.NDArray[np.float32], config: FeatureConfig) -> npt.NDArray[np.float32]:
    """Return what the network is given of a window: (n_frames, n_features)."""
    import torch

    with torch.no_grad():
        heard = _feature_module(config)(torch.from_numpy(samples)[None])
    features: npt.NDArray[np.float32] = heard[0].numpy()
    return features


@functools.cache
def _feature_module(config: FeatureConfig) -> Any:
    """Return the module of these features; its tables take longer to make than a picture."""
    from speechcls.features.mel import FEATURES

    return FEATURES[config.kind](config)


def _facts(predictions: Predictions) -> list[tuple[str, str]]:
    """Return what is known of the model, in words."""
    about = predictions.about
    hears = FeatureConfig.from_dict(about.features)
    what = f"{hears.duration_s:g} s at {hears.sample_rate:,} Hz as {hears.kind}"
    facts = [("model", about.model), ("labels", str(len(predictions.labels))), ("hears", what)]
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
    tokens = parser.disable(["link", "image", "autolink", "reference"]).parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):  # it stands under a heading of level 3
            token.tag = f"h{min(6, int(token.tag[1]) + 3)}"
    html: str = parser.renderer.render(tokens, parser.options, {})
    return html


def _follow_page(svg: str) -> str:
    """Return an SVG in which black is the page's ink and white is see-through."""
    svg = svg[svg.index("<svg") :]
    svg = svg.replace("#000000", "currentColor").replace("fill: #ffffff", "fill: none")
    # Text that says no colour is black.
    style = f"<style>svg{{color:#000;fill:currentColor}}{_DARK}</style>"
    return re.sub(r"(<svg[^>]*>)", rf"\1{style}", svg, count=1)


def _format_row(table: Table, row: Sequence[Any]) -> list[str]:
    return [format_cell(cell, unit) for cell, (_, unit) in zip(row, table.columns, strict=True)]
