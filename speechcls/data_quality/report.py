"""The result of ``check`` as JSON, CSV and a page, and the fix list: a manifest of good clips."""

from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speechcls import files
from speechcls.audio.wav import wav_bytes
from speechcls.config import FeatureConfig
from speechcls.data.clips import read_example
from speechcls.data_quality.findings import (
    KINDS,
    LEFT_OUT,
    CheckResult,
    Finding,
    effect_of,
)
from speechcls.errors import AudioError, DatasetError
from speechcls.layouts.manifest import manifest_suffix, write_manifest
from speechcls.render.html import data_uri, render
from speechcls.storage.places import shown
from speechcls.text import shell_line

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


def tally(result: CheckResult, by: str) -> dict[str, Tally]:
    """Return clips and duration by ``label`` or ``speaker``, most clips first.

    Clips without a speaker do not count by speaker; the duration is of the clips that can be read.
    """
    left_out = result.clips_with(LEFT_OUT)
    tallies: dict[str, Tally] = defaultdict(Tally)
    others: dict[str, set[str | None]] = defaultdict(set)
    for i, (example, levels) in enumerate(zip(result.dataset.examples, result.levels, strict=True)):
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


def formats(result: CheckResult) -> dict[str, int]:
    """Return how many clips there are of each rate and number of channels, most first."""
    counts: dict[str, int] = defaultdict(int)
    for levels in result.levels:
        if levels:
            counts[f"{levels.sample_rate} Hz, {levels.n_channels} ch"] += 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def row_of(result: CheckResult, finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON-ready values."""
    dataset = result.dataset
    example = dataset.examples[finding.clip]
    other = None if finding.other is None else dataset.examples[finding.other]
    return {
        "kind": finding.kind,
        "path": dataset.relative_name(example.path),
        "label": example.label,
        "speaker": example.speaker,
        "split": example.split,
        "start_s": example.start_s,
        "end_s": example.end_s,
        "value": round(finding.value, 6),
        "detail": shown(finding.detail),
        "copy_of": None if other is None else dataset.relative_name(other.path),
        "likely_label": finding.likely,
        "is_left_out": finding.kind in LEFT_OUT,
    }


def to_dict(result: CheckResult, max_bad: float) -> dict[str, Any]:
    """Return all findings as JSON-ready values."""
    return {
        "n_clips": len(result.dataset.examples),
        "duration_s": round(sum(one.duration_s for one in result.levels if one), 3),
        "formats": formats(result),
        "labels": {name: asdict(one) for name, one in tally(result, "label").items()},
        "speakers": {name: asdict(one) for name, one in tally(result, "speaker").items()},
        "counts": {kind: len(result.of_kind(kind)) for kind in KINDS},
        "findings": [row_of(result, finding) for finding in result.findings],
        "problems": [*map(shown, result.dataset.problems + result.bad_noise)],
        "notes": result.notes,
        "long_takes": None if result.long_takes is None else result.long_takes.to_dict(),
        "spoiled_by": result.blocking_issues(max_bad),
    }


def write_findings(result: CheckResult, path: Path, raw: bool = False) -> None:
    """Write a row for each finding; ``raw`` is that of ``files.open_csv``."""
    rows = [row_of(result, finding) for finding in result.findings]
    columns = list(rows[0]) if rows else ["kind", "path"]
    files.write_csv(path, columns, [[row[name] for name in columns] for row in rows], raw)


def write_fix_list(result: CheckResult, path: Path, raw: bool = False) -> int:
    """Write the good clips as a manifest to train on; return how many there are.

    Recordings of background noise follow, for the label ``_silence_``; ``raw`` is that of
    ``files.open_csv``.

    Raises
    ------
    ConfigError
        When the name ends in none of .csv, .tsv, .jsonl.
    DatasetError
        When no clip is left, or a name cannot be written in this format.
    """
    manifest_suffix(path)  # refuses any other ending
    clips = result.good_clips()
    if not clips:
        raise DatasetError(f"{path}: no clip would be left in it; see the findings")
    examples = result.dataset.examples
    write_manifest(path, [examples[i] for i in clips], result.dataset.noise, raw)
    return len(clips)


def write_html(
    result: CheckResult, path: Path, title: str, max_bad: float, data: str | None = None
) -> None:
    """Write a self-contained page with every table and a player for the worst clips.

    Parameters
    ----------
    data : as a shell takes it; None: its title
    """
    sections: list[dict[str, Any]] = []
    for kind, meaning in KINDS.items():
        findings = result.of_kind(kind)
        rows = [row_of(result, finding) for finding in findings]
        for place, (row, finding) in enumerate(zip(rows, findings, strict=True)):
            row["player"] = _player(result, finding) if place < N_PLAYED else None
        if rows:
            about = {"kind": kind, "meaning": meaning, "effect": effect_of(kind)}
            sections.append(about | {"rows": rows})
    page = render(
        "check.html",
        title=title,
        data=shell_line(title) if data is None else data,
        result=to_dict(result, max_bad),
        sections=sections,
        n_printed=N_PRINTED,
        n_bad=len(result.clips_with(LEFT_OUT)),
    )
    files.write_atomic(path, page)


def _player(result: CheckResult, finding: Finding) -> str | None:
    """Return a clip as a data URI with a WAV in it; None for one that cannot be read."""
    rate = FeatureConfig().sample_rate
    try:
        samples = read_example(result.dataset.examples[finding.clip], rate).pcm
    except AudioError:
        return None
    return data_uri("audio/wav", wav_bytes(samples[: round(_LONGEST_S * rate)], rate))
