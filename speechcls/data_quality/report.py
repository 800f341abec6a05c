"""A check-up as JSON, CSV and a page, and the manifest of the clips that are left."""

import json
import os
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speechcls.audio.wav import wav_bytes
from speechcls.config import FeatureConfig
from speechcls.data.clips import read_example
from speechcls.data.examples import NOISE_FOLDER
from speechcls.data.manifest import COLUMNS, check_manifest_name
from speechcls.data_quality.findings import KINDS, LEFT_OUT, Checkup, Finding
from speechcls.errors import AudioError, DatasetError
from speechcls.files import csv_text, write_atomic
from speechcls.render.html import data_uri, render

N_PLAYED = 10
"""Clips of each kind that the page plays."""
N_PRINTED = 30
"""Rows of a table on paper."""
_LONGEST_S = 3.0


@dataclass
class Tally:
    """The clips of one label or speaker."""

    n_clips: int = 0
    duration_s: float = 0.0
    n_left_out: int = 0
    """Clips that the fix list leaves out."""
    n_others: int = 0
    """Speakers of a label, labels of a speaker."""


def tally(checkup: Checkup, by: str) -> dict[str, Tally]:
    """Return the clips by ``label`` or ``speaker``, most first; clips without speaker are not in.

    The duration is of the clips that can be read.
    """
    left_out = checkup.clips_with(LEFT_OUT)
    tallies: dict[str, Tally] = defaultdict(Tally)
    others: dict[str, set[str | None]] = defaultdict(set)
    for i, (example, levels) in enumerate(
        zip(checkup.dataset.examples, checkup.levels, strict=True)
    ):
        name, other = example.label, example.speaker
        if by == "speaker":
            if example.speaker is None:
                continue
            name, other = example.speaker, example.label
        one = tallies[name]
        one.n_clips += 1
        one.duration_s += levels.duration_s if levels else 0.0
        one.n_left_out += i in left_out
        others[name] |= {other} - {None}
        one.n_others = len(others[name])
    return dict(sorted(tallies.items(), key=lambda item: (-item[1].n_clips, item[0])))


def formats(checkup: Checkup) -> dict[str, int]:
    """Return how many clips there are of each rate and number of channels, most first."""
    counts: dict[str, int] = defaultdict(int)
    for levels in checkup.levels:
        if levels:
            counts[f"{levels.sample_rate} Hz, {levels.n_channels} ch"] += 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def row_of(checkup: Checkup, finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON-ready values, for a file and for a table."""
    dataset = checkup.dataset
    example = dataset.examples[finding.clip]
    other = None if finding.other is None else dataset.examples[finding.other]
    return {
        "kind": finding.kind,
        "path": dataset.name_of(example.path),
        "label": example.label,
        "speaker": example.speaker,
        "split": example.split,
        "start_s": example.start_s,
        "end_s": example.end_s,
        "value": round(finding.value, 6),
        "detail": finding.detail,
        "copy_of": None if other is None else dataset.name_of(other.path),
        "likely_label": finding.likely,
        "is_left_out": finding.kind in LEFT_OUT,
    }


def to_dict(checkup: Checkup, max_bad: float) -> dict[str, Any]:
    """Return everything that was found as JSON-ready values."""
    return {
        "n_clips": len(checkup.dataset.examples),
        "duration_s": round(sum(one.duration_s for one in checkup.levels if one), 3),
        "formats": formats(checkup),
        "labels": {name: asdict(one) for name, one in tally(checkup, "label").items()},
        "speakers": {name: asdict(one) for name, one in tally(checkup, "speaker").items()},
        "counts": {kind: len(checkup.of_kind(kind)) for kind in KINDS},
        "findings": [row_of(checkup, finding) for finding in checkup.findings],
        "problems": checkup.dataset.problems + checkup.bad_noise,
        "notes": checkup.notes,
        "spoiled_by": checkup.blocking_issues(max_bad),
    }


def write_csv(checkup: Checkup, path: Path) -> None:
    """Write a row for each finding."""
    rows = [row_of(checkup, finding) for finding in checkup.findings]
    columns = list(rows[0]) if rows else ["kind", "path"]
    _write(path, _csv_text(rows, columns))


def write_manifest(checkup: Checkup, path: Path) -> int:
    """Write the good clips as a manifest that ``train`` reads; return how many there are.

    Recordings of background noise follow, so that the training has its silence.

    Raises
    ------
    ConfigError
        When the name ends in none of .csv, .tsv, .jsonl.
    DatasetError
        When no clip is left, or a name cannot be written in this format.
    """
    suffix = check_manifest_name(path)
    clips = checkup.good_clips()
    if not clips:
        raise DatasetError(f"{path}: no clip would be left in it; see what check says of them")
    folder = path.parent.resolve()  # a way up from a linked folder leads elsewhere
    rows = []
    for i in clips:
        example = checkup.dataset.examples[i]
        place = os.path.relpath(example.path.absolute(), folder)
        values = (Path(place).as_posix(), example.label, example.speaker, example.split)
        times = (example.start_s or None, example.end_s)
        rows.append(dict(zip(COLUMNS, (*values, *times), strict=True)))
    for noise in checkup.dataset.noise:
        place = os.path.relpath(noise.absolute(), folder)
        rows.append({"path": Path(place).as_posix(), "label": NOISE_FOLDER})
    if suffix == ".jsonl":
        kept = [{name: value for name, value in row.items() if value is not None} for row in rows]
        _write(path, "".join(json.dumps(row) + "\n" for row in kept))
    else:
        _write(path, _csv_text(rows, COLUMNS, "\t" if suffix == ".tsv" else ","))
    return len(clips)


def _csv_text(rows: list[dict[str, Any]], columns: Any, delimiter: str = ",") -> str:
    return csv_text(columns, ([row.get(name) for name in columns] for row in rows), delimiter)


def write_html(checkup: Checkup, path: Path, title: str, max_bad: float) -> None:
    """Write one page with every table and a player for the worst clips; it loads nothing else."""
    sections = []
    for kind, meaning in KINDS.items():
        findings = checkup.of_kind(kind)
        rows = [row_of(checkup, finding) for finding in findings]
        for place, (row, finding) in enumerate(zip(rows, findings, strict=True)):
            row["player"] = _player(checkup, finding) if place < N_PLAYED else None
        if rows:
            sections.append({"kind": kind, "meaning": meaning, "rows": rows})
    page = render(
        "check.html",
        title=title,
        result=to_dict(checkup, max_bad),
        sections=sections,
        n_printed=N_PRINTED,
        n_bad=len(checkup.clips_with(LEFT_OUT)),
    )
    write_atomic(path, page)


def _player(checkup: Checkup, finding: Finding) -> str | None:
    """Return a clip as a data URI with a WAV in it; None for one that cannot be read."""
    rate = FeatureConfig().sample_rate
    try:
        samples = read_example(checkup.dataset.examples[finding.clip], rate)
    except AudioError:
        return None
    return data_uri("audio/wav", wav_bytes(samples[: round(_LONGEST_S * rate)], rate))


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{path}: a file name is not UTF-8, which this format cannot hold; rename the file, or"
            " write a manifest that ends in .jsonl"
        ) from error
    write_atomic(path, content)
