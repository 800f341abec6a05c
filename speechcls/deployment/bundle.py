"""The files of an export: their texts, ``export.json``, and the facts that all targets tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import speechcls
from speechcls.artifact.format import Artifact
from speechcls.config import EventSettings
from speechcls.deployment.check import Agreement, Clips
from speechcls.files import json_bytes
from speechcls.runtime.detection import EAGER_CAUSAL_SETTINGS, choose_thresholds
from speechcls.runtime.session import temperature_of
from speechcls.text import printable

ABOUT, README = "export.json", "README.md"
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class Request:
    """What is to be exported, and how."""

    artifact: Artifact
    target: str
    clips: Clips
    """What the export is compared with the model on."""
    purpose: str
    """``size`` or ``speed``, where a target can be made for either."""
    runtime: Path | None = None
    """Folder of the package onnxruntime-web, to be copied into a page."""


@dataclass(frozen=True)
class Bundle:
    """What an export consists of."""

    files: Mapping[str, bytes]
    """By name, with forward slashes."""
    checks: Mapping[str, Agreement]
    """How far each part agrees with the model."""
    notes: tuple[str, ...] = ()
    """What its user should know, a sentence each."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What ``export.json`` has besides."""


def facts_of(request: Request) -> dict[str, Any]:
    """Return what a program has to know that runs the model: ``export.json``, but for checks."""
    artifact = request.artifact
    # Those of words that are told at once, as all examples of exports do.
    settings = EAGER_CAUSAL_SETTINGS if artifact.network.is_streaming else EventSettings()
    return {
        "format_version": _FORMAT_VERSION,
        "target": request.target,
        "model": artifact.path.name,
        "speechcls": speechcls.__version__,
        "labels": list(artifact.labels),
        "sample_rate": artifact.features.sample_rate,
        "n_samples": artifact.features.n_samples,
        "is_causal": artifact.network.is_streaming,
        "temperature": temperature_of(artifact),
        "thresholds": choose_thresholds(artifact),
        "events": settings.to_dict(),
    }


def with_about(request: Request, bundle: Bundle) -> Bundle:
    """Return a bundle with ``export.json``, by which a folder is known as an export."""
    checks = {name: agreement.to_dict() for name, agreement in bundle.checks.items()}
    about = (
        facts_of(request)
        | dict(bundle.facts)
        | {"checked_on": request.clips.about, "checks": checks}
    )
    return replace(bundle, files={**bundle.files, ABOUT: json_bytes(about)})


def own_file(name: str) -> bytes:
    """Return a file of ``speechcls/deployment/files``."""
    return resources.files("speechcls.deployment").joinpath("files", name).read_bytes()


def filled(name: str, values: Mapping[str, object]) -> bytes:
    """Return a file of ``files`` with ``${name}`` replaced by values.

    Raises
    ------
    KeyError
        When it names a value that there is not.
    """
    return Template(own_file(name).decode()).substitute(values).encode()


def readme(request: Request, name: str, checks: Mapping[str, Agreement], **more: object) -> bytes:
    """Return the README of an export: one of ``files`` with the facts filled in."""
    facts = facts_of(request)
    artifact = request.artifact
    values = facts | {
        "model": printable(facts["model"]),
        "duration_s": f"{artifact.features.duration_s:g}",
        "n_labels": len(artifact.labels),
        "temperature": f"{facts['temperature']:.4f}",
        "arch": artifact.network.arch,
        "label_table": label_table(facts),
        "check_table": check_table(request.clips, checks),
    }
    return filled(name, values | more)


def label_table(facts: Mapping[str, Any]) -> str:
    """Return the labels in the order of the probabilities, as a table of Markdown."""
    rows = ["| index | label | threshold |", "| ---: | --- | ---: |"]
    for i, label in enumerate(facts["labels"]):
        threshold = facts["thresholds"].get(label)
        shown = printable(label).replace("|", "\\|").replace("`", "'")
        rows.append(f"| {i} | `{shown}` | {'' if threshold is None else f'{threshold:.4f}'} |")
    return "\n".join(rows)


def check_table(clips: Clips, checks: Mapping[str, Agreement]) -> str:
    """Return how far each part agrees with the model, as a table of Markdown."""
    rows = [
        f"Compared with the model on {clips.about}:",
        "",
        "| part | answers | largest difference | equal answers | accuracy | the model's |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, agreement in checks.items():
        accuracies = (agreement.accuracy, agreement.model_accuracy)
        shown = ("" if a is None else f"{100 * a:.1f} %" for a in accuracies)
        rows.append(
            f"| `{name}` | {agreement.n_answers} | {agreement.largest_difference:.2g}"
            f" | {100 * agreement.equal_ratio:.1f} % | {' | '.join(shown)} |"
        )
    return "\n".join(rows)
