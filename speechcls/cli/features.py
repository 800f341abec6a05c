"""``speechcls features``."""

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.inputs import open_clip
from speechcls.cli.messages import Messages
from speechcls.cli.options import ClipArgument, Quiet, Verbose, option, out_option
from speechcls.cli.outputs import check_file_place
from speechcls.cli.tables import print_line
from speechcls.config import FEATURE_KINDS, FeatureConfig
from speechcls.errors import ConfigError
from speechcls.text import without_credentials

if TYPE_CHECKING:
    from speechcls.render.terminal import Array

_N_LINES = 20
_KINDS = ("spectrogram", *FEATURE_KINDS)
_KIND = option("--kind", help=f"One of {', '.join(_KINDS)}.", metavar="KIND")
_OUT = out_option("Picture to write instead, PNG or SVG by its ending.", show_default=False)


@reports_errors
def features(
    clip: ClipArgument,
    kind: Annotated[str, _KIND] = "log-mel",
    out: Annotated[Path | None, _OUT] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Draw the spectrogram, log-mel energies or MFCCs of a clip.

    They are drawn as text, seconds to the right and kHz, mel bands or coefficients upwards: in
    colour on a terminal, in shades of characters elsewhere, with what the lowest and the highest
    stand for; each MFCC in standard deviations from its mean. With --out they are drawn as a
    picture, whose path is printed. The whole clip is used, at 16 kHz.

    Example: speechcls features clip.wav
    """
    if kind not in _KINDS:
        raise ConfigError(f"no {kind!r}; there are {', '.join(_KINDS)}", field="kind")
    from speechcls.audio.decode import read_clip
    from speechcls.features.mel import clip_features
    from speechcls.render.figures import check_figure_path, save_figure

    if out:
        check_figure_path(out)
        check_file_place(out)
    config = FeatureConfig()
    messages = Messages(quiet, verbose)
    content, clip = open_clip(clip), without_credentials(clip)
    samples = read_clip(
        content,
        config.sample_rate,
        name=clip,
        on_note=lambda note: messages.warn(f"{clip}: {note}"),
    )
    values = clip_features(samples, kind, config)
    if out:
        from speechcls.render.panels import draw_features

        save_figure(draw_features(samples, values, kind, config, Path(clip).name), out)
        print_line(out)
        _go_on(clip, messages)
        return
    duration_s = len(samples) / config.sample_rate
    messages.note(f"{clip}: {kind}, {duration_s:.2f} s, {values.shape[1]} values per frame")
    _print(values, kind, config)
    _go_on(clip, messages)


def _go_on(clip: str, messages: Messages) -> None:
    """Print what shows more of a clip that has a name."""
    if clip != "-":
        messages.next_steps(("explain", clip), in_scripts=False)


def _print(values: "Array", kind: str, config: FeatureConfig) -> None:
    """Print (n_times, n_bands) as text, with axes."""
    from rich.console import Console
    from rich.text import Text

    from speechcls.render.terminal import (
        as_blocks,
        as_shades,
        cell_limits,
        fit_cells,
        row_labels,
        standardise,
        time_axis,
    )

    is_signed = kind in FEATURE_KINDS and FEATURE_KINDS[kind].is_signed
    values = standardise(values) if is_signed else values
    console = Console(file=sys.stdout, highlight=False, markup=False)
    is_khz = kind == "spectrogram"
    labels = row_labels(config.sample_rate / 2e3 if is_khz else values.shape[1], _N_LINES)
    n_left = len(labels[0]) + 2
    n_columns = max(1, min(console.width - n_left, len(values)))
    is_coloured = console.is_terminal and not console.no_color
    shape = 2 * _N_LINES if is_coloured else _N_LINES, n_columns
    cells = fit_cells(values, *shape)
    lines = as_blocks(cells) if is_coloured else map(Text, as_shades(cells))
    for label, line in zip(labels, lines, strict=True):
        console.print(Text.assemble(f"{label} |", line), soft_wrap=True)
    marks, numbers = time_axis(len(values) * config.hop_length / config.sample_rate, n_columns)
    typer.echo(f"{' ' * n_left}{marks}\n{' ' * n_left}{numbers}")
    low, high = cell_limits(values, *shape)
    unit = "standard deviations" if is_signed else "dB"
    first, last = ("dark", "light") if is_coloured else ("' '", "'@'")
    name = "kHz" if is_khz else FEATURE_KINDS[kind].value_name
    words = (f"up: {name}", "right: seconds", f"{first} is {low:.1f}", f"{last} {high:.1f} {unit}")
    typer.echo("\n".join(textwrap.wrap("; ".join(words), console.width)))
