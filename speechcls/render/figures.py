"""Style, palette and files of all figures.

matplotlib is imported when a figure is made: it takes half a second, and few commands draw.
"""

import functools
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechcls.errors import ConfigError
from speechcls.files import write_atomic
from speechcls.text import printable, shorten

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that are distinct for people with any kind of colour vision (Okabe & Ito 2008)."""
GREY = "#8C8C8C"
"""Colour of reference lines and areas."""
SEQUENTIAL, DIVERGING, LEVELS = "cividis", "PuOr_r", "magma"
"""Colour maps of values in [0, 1], of values around 0, and of dB."""
FORMATS = (".png", ".svg")
ANIMATION_FORMATS = (".gif",)
_FALLBACK_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Hiragino Sans", "Yu Gothic"),
    *("Microsoft YaHei", "Malgun Gothic", "Noto Sans Arabic", "Noto Sans Hebrew"),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Nirmala UI", "Arial Unicode MS"),
)
"""Of scripts that matplotlib's own font lacks; those that are installed are used."""
_DPI = 120
LONGEST_TITLE = 110
"""Characters that there is room for above a figure."""
_LONGEST = 40
"""Characters of a name before its middle is left out."""
_STAYS_MS = 1_500
_STYLE: Any = {
    "font.size": 9,
    "axes.prop_cycle": f"cycler('color', {list(PALETTE)})",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "image.interpolation": "nearest",
    "text.parse_math": False,  # a $ in a name is a $
    "svg.fonttype": "none",  # text stays text, to be searched and read aloud
    "svg.hashsalt": "speechcls",  # the same figure gives the same file
}


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of ``width`` by ``height`` inches, laid out automatically.

    It sets matplotlib's defaults in this process: panels take them when they are added.
    """
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(_STYLE | {"font.family": _families()})
    return Figure(figsize=(width, height), layout="constrained")


@functools.cache
def _families() -> list[str]:
    """Return the fonts that are installed, matplotlib's own first."""
    from matplotlib.font_manager import fontManager

    there = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FALLBACK_FONTS if name in there)]


def as_text(name: str, longest: int = _LONGEST) -> str:
    """Return a label or file name as a figure can show it: short, odd characters spelled out."""
    text = shorten(printable(name), longest)
    # A legend leaves out what starts with _.
    return f"\u200b{text}" if text.startswith("_") else text


def colour_steps(name: str, n_steps: int) -> list[str]:
    """Return ``n_steps`` colours of a map as #rrggbb, from its lowest value to its highest."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colour) for colour in colormaps[name].resampled(n_steps)(range(n_steps))]


def check_figure_path(path: Path, endings: Sequence[str] = FORMATS) -> None:
    """Raise a ``ConfigError`` for a name that ends in none of ``endings``."""
    if path.suffix.lower() not in endings:
        names = " or ".join(endings)
        raise ConfigError(f"{path}: unknown kind of picture; give a name ending in {names}")


def render_figure(figure: "Figure", kind: str) -> bytes:
    """Return a picture, ``png`` or ``svg``; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box stands in its place
        figure.savefig(buffer, format=kind, dpi=_DPI, metadata=metadata)
    return buffer.getvalue()


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a picture, PNG or SVG by the ending of ``path``, atomically."""
    check_figure_path(path)
    write_atomic(path, render_figure(figure, path.suffix.lower().removeprefix(".")))


def save_both(figure: "Figure", place: Path) -> bytes:
    """Write ``place``.png and ``place``.svg, each atomically; return the SVG."""
    save_figure(figure, place.with_name(f"{place.name}.png"))
    figure.set_layout_engine("none")  # the layout is computed already
    svg = render_figure(figure, "svg")
    write_atomic(place.with_name(f"{place.name}.svg"), svg)
    return svg


def save_animation(
    frames: "Sequence[npt.NDArray[np.uint8]]", duration_s: float, path: Path
) -> None:
    """Write a GIF that runs for ``duration_s``, pauses at its end, and starts again.

    Parameters
    ----------
    frames : of (height, width, 3) each, red, green and blue
    """
    import numpy as np
    from PIL import Image

    check_figure_path(path, ANIMATION_FORMATS)
    # One palette for all frames: with one each, still parts would flicker.
    some = np.concatenate([frames[0], frames[len(frames) // 2], frames[-1]])
    palette = Image.fromarray(some).quantize(256, Image.Quantize.MAXCOVERAGE)
    still = Image.Dither.NONE
    images = [Image.fromarray(frame).quantize(palette=palette, dither=still) for frame in frames]
    durations_ms = [max(20, round(1000 * duration_s / len(images)))] * len(images)
    durations_ms[-1] += _STAYS_MS
    buffer = io.BytesIO()
    images[0].save(
        buffer, "GIF", save_all=True, append_images=images[1:], duration=durations_ms, loop=0
    )
    write_atomic(path, buffer.getvalue())
