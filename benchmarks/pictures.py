"""Make the pictures of the documentation: ``make pictures``, or names of some as arguments.

All sounds are synthetic (espeak-ng). What was measured stays in ``build/pictures`` for the next
time.
"""

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from speechcls.charts import draw_memory
from speechcls.figures import save_figure
from speechcls.memory import MemoryRun, mean_curves

ROOT = Path(__file__).parents[1]
PLACE, SCRATCH = ROOT / "docs" / "pictures", ROOT / "build" / "pictures"
MOST_BYTES = 150_000
N_WORDS = 6
"""What ``compare --memory`` lets the voices say, each as often: chance is one in six."""


def run(*arguments: str | Path) -> None:
    """Run the command line; end with it if it fails."""
    subprocess.run([sys.executable, "-m", "speechcls", *map(str, arguments)], check=True)


def draw_word_memory() -> Figure:
    """Return how well networks answer seconds after a word; a quarter of an hour of one core."""
    place = SCRATCH / "memory"
    if not (place / "memory.csv").is_file():
        run("compare", "--memory", "--seeds", "2", "--out", place, "-q")
    runs: dict[tuple[str, int, int], MemoryRun] = {}
    with (place / "memory.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            key = row["arch"], int(row["step_ms"]), int(row["seed"])
            one = runs.setdefault(key, MemoryRun(*key, int(row["parameters"])))
            one.accuracy[float(row["gap_s"])] = float(row["accuracy"])
    return draw_memory(mean_curves(list(runs.values())), 1 / N_WORDS)


PICTURES: dict[str, Callable[[], Figure]] = {"memory": draw_word_memory}
"""What draws each picture, by its name in ``docs/pictures``."""


def save_small(figure: Figure, path: Path) -> None:
    """Write a PNG of 256 colours, a third of the size of one with all of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, path)
    picture = (
        Image.open(io.BytesIO(path.read_bytes()))
        .convert("RGB")
        .quantize(256, dither=Image.Dither.NONE)
    )
    picture.save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path}: {path.stat().st_size:,} bytes, more than {MOST_BYTES:,}")


def main() -> None:
    """Make the pictures that are named, or all."""
    for name in sys.argv[1:] or PICTURES:
        path = PLACE / f"{name}.png"
        save_small(PICTURES[name](), path)
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
