"""Images in a terminal: coloured half blocks, or shades of characters in a pipe."""

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from speechcls.audio.level import POWER_FLOOR, frame_powers
from speechcls.audio.samples import Samples

if TYPE_CHECKING:
    from rich.text import Text

SHADES = " .:-=+*#%@"
"""From the lowest value to the highest, in plain text."""
_UPPER_HALF = "▀"
_EIGHTHS = " ▁▂▃▄▅▆▇█"
# magma, as matplotlib has it, at 0, 1/8 ... 1: each is lighter than the one before.
_COLOURS = np.array(
    [
        (0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122),
        (229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191),
    ]
)  # fmt: skip

Array = npt.NDArray[np.floating[Any]]


def cell_limits(values: Array, n_rows: int, n_columns: int) -> tuple[float, float]:
    """Return the values that ``fit_cells`` scales to 0 and to 1."""
    grid = _resize(_resize(values, n_columns).T, n_rows)
    return float(grid.min()), float(grid.max())


def fit_cells(values: Array, n_rows: int, n_columns: int) -> Array:
    """Return ``values`` scaled to [0, 1] on a grid: means, or copies where there are fewer values.

    Parameters
    ----------
    values : (n_times, n_bands), the lowest band first

    Returns
    -------
    (n_rows, n_columns), the highest band in the first row; 0 throughout if all values are equal
    """
    grid = _resize(_resize(values, n_columns).T, n_rows)[::-1]
    low, high = grid.min(), grid.max()
    scaled: Array = (grid - low) / (high - low) if high > low else np.zeros_like(grid)
    return scaled


def standardise(values: Array) -> Array:
    """Return ``values`` (n_times, n_bands) with each band standardised.

    The first cepstral coefficient is so large that all others would look equal.
    """
    deviations: Array = (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-9)
    return deviations


def _resize(values: Array, size: int) -> Array:
    """Return (size, ...) means over equal parts of ``values`` (n, ...)."""
    edges = np.linspace(0, len(values), size + 1)
    parts = [
        values[int(start) : max(int(start) + 1, round(end))]
        for start, end in itertools.pairwise(edges)
    ]
    return np.stack([part.mean(axis=0) for part in parts])


def as_shades(cells: Array) -> list[str]:
    """Return a line of plain text for each row of ``cells`` (n_rows, n_columns) in [0, 1]."""
    levels = np.minimum(cells * len(SHADES), len(SHADES) - 1).astype(int)
    return ["".join(SHADES[level] for level in row) for row in levels]


def as_columns(heights: Array, n_rows: int, n_columns: int) -> list[str]:
    """Return ``n_rows`` lines of a chart with a column for each height, in eighths of a row.

    Columns are as wide as ``n_columns`` characters allow, up to four; where there are more heights
    than characters, neighbours share one.

    Parameters
    ----------
    heights : (n,) in [0, 1]; at least one
    """
    if len(heights) > n_columns:
        heights = _resize(heights, n_columns)
    width = min(4, n_columns // len(heights))
    # What is above 0 is seen, however little it is.
    eighths = np.maximum(np.rint(8 * n_rows * heights), heights > 0).astype(int)
    rows = (np.clip(eighths - 8 * row, 0, 8) for row in reversed(range(n_rows)))
    return ["".join(_EIGHTHS[level] * width for level in row) for row in rows]


def nice_step(span: float, most: int) -> float:
    """Return the smallest step of 1, 2 or 5 times a power of ten with ``most`` or fewer in a span.

    Raises
    ------
    ValueError
        When the span is not above 0.
    """
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(f * power for f in (1, 2, 5, 10, 20) if span / (f * power) <= most + 1e-9)


def row_labels(size: float, n_lines: int) -> list[str]:
    """Return the text at the left of each line, the top one first, of an axis from 0 to ``size``.

    All are equally wide; most are blank.
    """
    step = nice_step(size, 5)
    labels = [""] * n_lines
    for k in range(math.ceil(size / step)):
        labels[n_lines - 1 - int(k * step / size * n_lines)] = f"{k * step:g}"
    width = max(map(len, labels))
    return [label.rjust(width) for label in labels]


def time_axis(duration_s: float, n_columns: int) -> tuple[str, str]:
    """Return a line with a mark at each of some seconds, and the numbers under the marks."""
    step = nice_step(duration_s, max(1, n_columns // 8))
    marks, numbers = ["-"] * n_columns, [" "] * n_columns
    for k in range(math.ceil(duration_s / step)):
        column, text = int(k * step / duration_s * n_columns), f"{k * step:g}"
        marks[column] = "+"
        if column + len(text) <= n_columns:
            numbers[column : column + len(text)] = text
    return "".join(marks), "".join(numbers).rstrip()


def level_line(samples: Samples, n_columns: int) -> str:
    """Return the level of ``samples`` (n,) over time, -60 to 0 dB, as a line of plain text."""
    powers = frame_powers(samples, max(1, len(samples) // n_columns))[:n_columns]
    levels = 1 + np.log10(np.maximum(powers, POWER_FLOOR)) / 6
    return as_shades(np.clip(levels, 0.0, 1.0)[None])[0]


def as_blocks(cells: Array) -> "list[Text]":
    """Return a line for each two rows of ``cells`` (n_rows, n_columns) in [0, 1], in colour."""
    from rich.text import Text

    colours = colours_of(cells)
    lines = []
    for upper, lower in zip(colours[::2], colours[1::2], strict=True):
        line = Text()
        for above, below in zip(upper, lower, strict=True):
            style = f"rgb({','.join(map(str, above))}) on rgb({','.join(map(str, below))})"
            line.append(_UPPER_HALF, style)
        lines.append(line)
    return lines


def colours_of(cells: Array) -> npt.NDArray[np.int64]:
    """Return red, green and blue (n_rows, n_columns, 3), 0 to 255, of ``cells`` in [0, 1]."""
    stops = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(cells, stops, channel) for channel in _COLOURS.T]
    return np.stack(channels, axis=2).round().astype(np.int64)
