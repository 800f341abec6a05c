"""Export a trained model: make it, compare it with the model, and write it, whole or not at all."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from speechcls.artifact.format import Artifact
from speechcls.deployment.bundle import ABOUT, README, Bundle, Request, readme, with_about
from speechcls.deployment.c_program import c_bundle
from speechcls.deployment.check import Agreement, Clips, made_clips
from speechcls.deployment.graphs import check_graphs, model_graphs
from speechcls.deployment.litert import litert_bundle
from speechcls.deployment.quantise import rounded_products, rounded_weights
from speechcls.deployment.web import web_bundle
from speechcls.errors import ConfigError, ExportError, reason_of
from speechcls.files import write_folder_atomic
from speechcls.scratch import restore

PURPOSES = ("size", "speed")


@dataclass(frozen=True)
class Target:
    """One form that a model can be exported to."""

    about: str
    make: Callable[[Request], Bundle]
    is_rounded: bool = False
    """Whether weights are rounded, so that answers may differ."""
    has_purposes: bool = False
    """Whether it can be made small or fast."""
    has_runtime: bool = False
    """Whether the engine that runs it can be copied into it."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    files: Mapping[str, int]
    """Size of each file, bytes, by its name."""
    checks: Mapping[str, Agreement]
    """How far each part agrees with the model."""
    notes: tuple[str, ...]
    """What its user should know, a sentence each."""


def _onnx(request: Request) -> Bundle:
    graphs = model_graphs(request.artifact)
    checks = check_graphs(request.artifact, graphs, request.clips)
    return Bundle({**graphs, README: readme(request, "onnx.md", checks, how="as they are")}, checks)


def _int8(request: Request) -> Bundle:
    artifact, graphs = request.artifact, model_graphs(request.artifact)
    if request.purpose == "size":
        graphs = {name: rounded_weights(content) for name, content in graphs.items()}
    else:
        graphs = {
            name: rounded_products(artifact, name, content) for name, content in graphs.items()
        }
    checks = check_graphs(artifact, graphs, request.clips, is_rounded=True)
    how = {"size": "with weights of 8 bits", "speed": "with products of 8 bits"}[request.purpose]
    return Bundle({**graphs, README: readme(request, "onnx.md", checks, how=how)}, checks)


def _litert(request: Request) -> Bundle:
    return litert_bundle(request, is_int8=False)


def _litert_int8(request: Request) -> Bundle:
    return litert_bundle(request, is_int8=True)


def _c(request: Request) -> Bundle:
    return c_bundle(request, is_int8=False)


def _c_int8(request: Request) -> Bundle:
    return c_bundle(request, is_int8=True)


TARGETS = {
    "onnx": Target("the graphs for ONNX Runtime, as they are", _onnx),
    "onnx-int8": Target("the same, rounded to 8 bits", _int8, is_rounded=True, has_purposes=True),
    "tflite": Target("the graphs for LiteRT (TensorFlow Lite) and its Micro", _litert),
    "tflite-int8": Target(
        "the same, rounded to 8 bits", _litert_int8, is_rounded=True, has_purposes=True
    ),
    "c": Target("C99 of a causal network, features included", _c),
    "c-int8": Target("the same with weights of 8 bits", _c_int8, is_rounded=True),
    "web": Target("a page that runs in the browser alone", web_bundle, has_runtime=True),
}
"""What a model can be exported to, by name."""


def export_model(
    artifact: Artifact,
    target: str,
    out: Path,
    clips: Clips | None = None,
    purpose: str = PURPOSES[0],
    runtime: Path | None = None,
    force: bool = False,
) -> Exported:
    """Export a model to a folder, which is written whole, or not at all if it fails its check.

    Parameters
    ----------
    target : a name in ``TARGETS``
    out : the folder
    clips : what the export is compared with the model on (default: sounds made of nothing)
    purpose : ``size`` or ``speed``, of targets that have both
    runtime : folder of the package onnxruntime-web, of the target ``web``
    force : replace an export that is there

    Raises
    ------
    ConfigError
        When there is no such target or purpose.
    ExportError
        When the model has no such form, what came of it does not do what the model does, or the
        folder cannot be written.
    ArtifactError
        When the model is damaged.
    """
    check_target(target)
    if purpose not in PURPOSES:
        raise ConfigError(f"no {purpose!r}; there are {', '.join(PURPOSES)}", field="purpose")
    check_place(out, force)
    request = Request(artifact, target, clips or made_clips(artifact), purpose, runtime)
    bundle = with_about(request, TARGETS[target].make(request))
    try:
        write_folder_atomic(out, bundle.files)
    except OSError as error:
        raise ExportError(
            f"{out}: not written ({reason_of(error)}); choose another place"
        ) from error
    notes = bundle.notes
    if clips is None and TARGETS[target].is_rounded:
        notes += ("compared on made sounds alone; with recordings it says what rounding costs",)
    sizes = {name: len(content) for name, content in bundle.files.items()}
    return Exported(out, sizes, bundle.checks, notes)


def check_target(target: str) -> None:
    """Refuse a target that there is not.

    Raises
    ------
    ConfigError
        Naming those that there are.
    """
    if target not in TARGETS:
        raise ConfigError(f"no {target!r}; there are {', '.join(TARGETS)}", field="target")


def check_place(out: Path, force: bool) -> None:
    """Refuse a folder that cannot be written to, or has something else in it; before the work.

    Parameters
    ----------
    force : accept a folder with an export, to replace it

    Raises
    ------
    ExportError
        When it is taken.
    """
    restore(out)
    if not os.path.lexists(out) or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / ABOUT).is_file():
        raise ExportError(f"{out}: exists and is no export; choose another place")
    if not force:
        raise ExportError(f"{out}: exists; use force to replace it, or choose another place")
