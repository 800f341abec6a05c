"""Plant faults in a data set and count how many of them ``speechcls check`` finds.

Usage: python benchmarks/check_faults.py DATA [--model MODEL] [--split SPLIT] [--seed 0]

Good clips are linked, not copied, and the recordings of DATA stay as they are. Findings in the
untouched data count as natural; other findings that were not planted are false alarms.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from speechcls.audio.decode import read_clip
from speechcls.audio.samples import Samples
from speechcls.data_quality.check import check
from speechcls.data_quality.findings import LEFT_OUT, CheckResult
from speechcls.layouts.examples import Dataset, Example
from speechcls.layouts.load import load_dataset
from speechcls.runtime.classifier import Classifier

RATE = 16_000
FORMATS = {
    "flac": ("FLAC", "PCM_16"),
    "wav": ("WAV", "FLOAT"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
KIND_OF = {
    "mislabelled": {"doubtful"},
    "copied": {"copy", "leak", "two-labels"},
    "clipped": {"clipped"},
    "silent": {"silent"},
}


class Planted(NamedTuple):
    """A data set with faults, and where they are."""

    root: Path
    faults: dict[str, set[str]]
    """By kind, the names of the files that have it, without their endings."""
    touched: set[str]
    """The names of all files that were changed, and of the clips that were copied."""


def plant(
    examples: Sequence[Example],
    root: Path,
    swap: Sequence[str],
    seed: int,
    n_swapped: int = 50,
    n_copied: int = 30,
    n_clipped: int = 20,
    n_silent: int = 10,
) -> Planted:
    """Write ``examples`` with faults to ``root``, a folder a label.

    Parameters
    ----------
    swap : the labels that are mistaken for one another
    """
    rng = np.random.default_rng(seed)
    mistaken = [i for i, example in enumerate(examples) if example.label in swap]
    swapped = rng.permutation(mistaken)[:n_swapped].tolist()
    rest = rng.permutation([i for i in range(len(examples)) if i not in set(swapped)]).tolist()
    copied, rest = rest[:n_copied], rest[n_copied:]
    clipped, silent = rest[:n_clipped], rest[n_clipped : n_clipped + n_silent]
    faults: dict[str, set[str]] = {kind: set() for kind in KIND_OF}
    touched = set()
    for i, example in enumerate(examples):
        label = example.label
        if i in swapped:
            label = str(rng.choice([word for word in swap if word != label]))
        name = f"{label}/{example.path.stem}"
        while (root / f"{name}{example.path.suffix}").exists():
            name += "x"  # another take of the same speaker is there already
        place = root / f"{name}{example.path.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        if i in swapped:
            faults["mislabelled"].add(name)
        if i in clipped:
            samples = _read(example)
            over = rng.uniform(3, 8) / max(1e-3, float(np.abs(samples).max()))
            _write(place, rng.uniform(0.4, 1.0) * np.clip(over * samples, -1, 1), "flac")
            faults["clipped"].add(name)
        elif i in silent:
            level = rng.choice([0.0, 1e-4, 1e-3])
            _write(place, level * rng.standard_normal(RATE).astype(np.float32), "flac")
            faults["silent"].add(name)
        else:
            place.symlink_to(example.path.resolve())
        if i in copied:
            ending = list(FORMATS)[len(faults["copied"]) % len(FORMATS)]
            samples = _read(example)
            loudest = 0.9 / max(1e-3, float(np.abs(samples).max()))
            gain = min(10 ** (rng.uniform(3, 20) * rng.choice([-1, 1]) / 20), loudest)
            _write(root / f"{name}-copy.{ending}", gain * samples, ending)
            faults["copied"] |= {name, f"{name}-copy"}
        if i in (*swapped, *copied, *clipped, *silent):
            touched |= {name, f"{name}-copy"}
    return Planted(root, faults, touched)


def _read(example: Example) -> Samples:
    return read_clip(example.path, RATE)


def _write(path: Path, samples: Samples, ending: str) -> None:
    kind, subtype = FORMATS[ending]
    soundfile.write(path, samples, RATE, subtype=subtype, format=kind)


def found(checkup: CheckResult, kinds: frozenset[str] | set[str]) -> set[str]:
    """Return the names of the files with one of ``kinds``, without their endings."""
    dataset = checkup.dataset
    return {
        str(Path(dataset.relative_name(dataset.examples[i].path)).with_suffix(""))
        for i in checkup.clips_with(frozenset(kinds))
    }


def recall(checkup: CheckResult, planted: Planted, kind: str) -> float:
    """Return the fraction of the planted faults of a kind that are found; of a copy either clip."""
    hits = found(checkup, KIND_OF[kind])
    names = planted.faults[kind]
    if kind != "copied":
        return len(hits & names) / len(names)
    originals = [name for name in names if not name.endswith("-copy")]
    return sum(name in hits or f"{name}-copy" in hits for name in originals) / len(originals)


def likely_right(checkup: CheckResult, examples: Sequence[Example], planted: Planted) -> float:
    """Return the fraction of the found mislabelled clips whose likely label is the old one."""
    old = {example.path.resolve(): example.label for example in examples}
    clips = checkup.dataset.examples
    is_old = [
        finding.likely == old[clips[finding.clip].path.resolve()]
        for finding in checkup.of_kind("doubtful")
        if str(Path(checkup.dataset.relative_name(clips[finding.clip].path)).with_suffix(""))
        in planted.faults["mislabelled"]
    ]
    return sum(is_old) / max(1, len(is_old))


def main() -> None:
    """Print a line for each kind, and the false alarms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, default=Path("models/commands"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", help="plant in clips of this split only")
    options = parser.parse_args()
    classifier = Classifier.load(options.model)
    before = load_dataset(options.data)
    natural = found(check(before, classifier), LEFT_OUT)
    print(f"natural\t{len(natural)} of {len(before.examples)} clips")
    swap = [label for label in classifier.labels if not label.startswith("_")]
    with tempfile.TemporaryDirectory() as folder:
        planted, examples = plant_all(before, Path(folder), swap, options.seed, options.split)
        checkup = check(load_dataset(planted.root), classifier)
        for kind in KIND_OF:
            print(f"{kind}\trecall {recall(checkup, planted, kind):.3f}")
        print(f"likely label right\t{likely_right(checkup, examples, planted):.3f}")
        false = found(checkup, LEFT_OUT) - planted.touched - natural
        ratio = len(false) / len(checkup.dataset.examples)
        print(f"false alarms\t{len(false)} ({100 * ratio:.2f} %)\t{', '.join(sorted(false))}")


def plant_all(
    before: Dataset, root: Path, swap: Sequence[str], seed: int, split: str | None
) -> tuple[Planted, list[Example]]:
    """Plant in the clips of one split, or of all, and link every other clip beside them."""
    chosen = [example for example in before.examples if split in (None, example.split)]
    planted = plant(chosen, root, swap, seed)
    for example in before.examples:
        if split not in (None, example.split):
            place = root / example.label / example.path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                place.symlink_to(example.path.resolve())
    return planted, before.examples


if __name__ == "__main__":
    main()
