"""The most confident mistakes of a report, each with its picture and sound."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from speechcls.audio.samples import PCM, Samples, fit_length, to_float
from speechcls.audio.spectrogram import SPECTROGRAM_DB, spectrogram
from speechcls.audio.wav import wav_bytes
from speechcls.config import FeatureConfig
from speechcls.evaluation.predictions import Predictions
from speechcls.files import write_atomic
from speechcls.render.figures import LEVELS, PALETTE, new_figure
from speechcls.render.html import data_uri
from speechcls.render.panels import envelope
from speechcls.report.results import Results
from speechcls.report.summary import worst_pairs
from speechcls.report.tables import N_MISTAKES, Table, format_row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLIPS = "clips"
_N_WAVE_PARTS = 240


@dataclass(frozen=True)
class Picture:
    """One picture on the page."""

    uri: str
    alt: str


@dataclass(frozen=True)
class Mistake:
    """One wrong prediction on the page."""

    row: tuple[str, ...]
    """Path, speaker, truth, predicted label, its probability, that of the truth."""
    picture: Picture | None
    """None where the recording is missing."""
    sound: str
    """A data URI; empty where the recording is missing."""


def played_clips(predictions: Predictions) -> list[int]:
    """Return the clips that the page plays: the mistakes, then those of the worst pairs."""
    mistakes = predictions.mistakes(N_MISTAKES)
    pairs = [pair.clip for pair in worst_pairs(Results(predictions))]
    return list(dict.fromkeys([*mistakes, *pairs]))


def save_clips(predictions: Predictions, windows: Mapping[int, PCM], folder: Path) -> None:
    """Write the sound of what the page plays, in place of an earlier report's.

    Parameters
    ----------
    windows : (n_samples,) int16 at the model's rate, by the index of the clip
    """
    (folder / CLIPS).mkdir(parents=True, exist_ok=True)
    for old in (folder / CLIPS).glob("[0-9][0-9].wav"):
        old.unlink()  # first: no clip may ever stand in for another one that is missing
    rate = FeatureConfig.from_dict(predictions.about.features).sample_rate
    for rank, i in enumerate(played_clips(predictions), start=1):
        if i in windows:
            write_atomic(_clip_path(folder, rank), wav_bytes(windows[i], rate))


def _clip_path(folder: Path, rank: int) -> Path:
    return folder / CLIPS / f"{rank:02}.wav"


def load_sound(predictions: Predictions, clip: int, folder: Path) -> str:
    """Return the sound of one of the ``played_clips`` as a data URI; empty where it is missing."""
    try:
        rank = played_clips(predictions).index(clip) + 1
        return data_uri("audio/wav", _clip_path(folder, rank).read_bytes())
    except OSError:
        return ""


def picture_name(rank: int) -> str:
    """Return the name of the picture of a mistake; 1 is the most confident one."""
    return f"mistake_{rank:02}"


def save_mistake(
    table: Table,
    rank: int,
    config: FeatureConfig,
    folder: Path,
    save_picture: Callable[[str, "Figure", str], Picture],
) -> Mistake:
    """Save the picture of a mistake; return it for the page, with its sound from ``folder`` if any.

    Parameters
    ----------
    table : of the mistakes
    rank : 1 is the most confident one
    save_picture : takes name, figure and the text in its place
    """
    row = tuple(format_row(table, table.rows[rank - 1]))
    try:
        content = _clip_path(folder, rank).read_bytes()
        pcm, rate = soundfile.read(io.BytesIO(content), dtype="int16")
    except (OSError, soundfile.SoundFileError):
        return Mistake(row, None, "")
    if rate != config.sample_rate or pcm.ndim != 1 or not len(pcm):
        return Mistake(row, None, "")
    figure = draw_clip(fit_length(to_float(pcm), config.n_samples), config)
    alt = f"Waveform and spectrogram of {row[0]}: {row[2]}, predicted as {row[3]}."
    picture = save_picture(picture_name(rank), figure, alt)
    return Mistake(row, picture, data_uri("audio/wav", content))


def draw_clip(samples: Samples, config: FeatureConfig) -> "Figure":
    """Return the waveform of a clip above its spectrogram.

    Parameters
    ----------
    samples : (n_samples,) of the model's window
    """
    duration_s = len(samples) / config.sample_rate
    figure = new_figure(3.4, 1.9)
    figure.set_layout_engine("none")  # to find the layout takes longer than to draw
    upper = figure.add_axes((0.04, 0.66, 0.92, 0.32))
    lower = figure.add_axes((0.04, 0.22, 0.92, 0.42))
    starts, lows, highs = envelope(samples, _N_WAVE_PARTS)
    upper.fill_between(starts / config.sample_rate, lows, highs, color=PALETTE[0], lw=0.4)
    upper.set_xlim(0, duration_s)
    upper.axis("off")
    lower.imshow(
        spectrogram(samples, config).T,
        origin="lower",
        aspect="auto",
        cmap=LEVELS,
        vmin=-SPECTROGRAM_DB,
        vmax=0,
        extent=(0, duration_s, 0, config.sample_rate / 2e3),
    )
    lower.set_yticks([])
    lower.spines[:].set_visible(False)
    lower.set_xlabel("s", labelpad=1)
    return figure
