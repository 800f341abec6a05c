"""``speechcls export``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import FAILED, refuse, reports_errors
from speechcls.cli.data_options import DataOptions, with_data_options
from speechcls.cli.inputs import find_model
from speechcls.cli.messages import Messages
from speechcls.cli.options import DATA, OUTPUT, AsJson, Quiet, Verbose, as_path, option, out_option
from speechcls.cli.outputs import check_folder_place
from speechcls.cli.progress import item_bar
from speechcls.cli.tables import or_dash, print_json, print_table

if TYPE_CHECKING:
    from speechcls.artifact.format import Artifact
    from speechcls.deployment.check import Clips
    from speechcls.deployment.export import Exported

_MODEL = typer.Argument(
    help="Folder of the model. [default: the model that predict takes]",
    metavar="[MODEL]",
    show_default=False,
    parser=as_path,
)
_TARGET = option(
    "--to",
    help="onnx (the graphs for ONNX Runtime), onnx-int8 (the same, rounded to 8 bits), tflite (the"
    " graphs for LiteRT and TensorFlow Lite Micro), tflite-int8 (the same, rounded to 8 bits), c"
    " (C99 of a causal network, features included), c-int8 (the same with weights of 8 bits) or web"
    " (a page that runs in the browser alone).",
    metavar="TARGET",
)
_PURPOSE = option(
    "--for",
    help="Make onnx-int8 or tflite-int8 small (size: rounded weights) or fast (speed: results are"
    " rounded too).",
    metavar="size|speed",
)
_DATA = option(
    "--data",
    help="Compare with the model on these recordings too, those that it was not trained on; may be"
    " repeated. [default: sounds made of nothing]",
    panel=DATA,
    metavar="DATA",
    show_default=False,
    parser=as_path,
)
_RUNTIME = option(
    "--runtime",
    help="Unpacked npm package onnxruntime-web, to be copied into the page of --to web.",
    metavar="DIR",
)
_FORCE = option("--force", help="Replace an export that is in the folder.", panel=OUTPUT)


@reports_errors
@with_data_options
def export(
    ctx: typer.Context,
    reading: DataOptions,
    target: Annotated[str, _TARGET],
    out: Annotated[Path, out_option("Folder to write.", "DIR")],
    model: Annotated[Path | None, _MODEL] = None,
    purpose: Annotated[str, _PURPOSE] = "size",
    runtime: Annotated[Path | None, _RUNTIME] = None,
    data: Annotated[list[Path] | None, _DATA] = None,
    force: Annotated[bool, _FORCE] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a model in the form that other programs and machines run.

    The folder has a README.md that says how to load it there, and export.json with labels,
    thresholds and rates. What is written is compared with the model first: prints the size of each
    part, the largest difference of a probability, how many answers are equal and, with --data, the
    accuracy of both. If it does not do what the model does, nothing is written, and the exit code
    is 1.

    Example: speechcls export commands --to onnx-int8 --out small/
    """
    from speechcls.artifact.store import load_artifact
    from speechcls.deployment.export import TARGETS, check_place, check_target, export_model

    messages = Messages(quiet, verbose)
    check_target(target)
    if not TARGETS[target].has_purposes:
        refuse(ctx, ["purpose"], f"with --to {target}")
    if not TARGETS[target].has_runtime:
        refuse(ctx, ["runtime"], f"with --to {target}")
    if not data:
        refuse(ctx, DataOptions._fields, "without --data")
    check_folder_place(out)
    check_place(out, force)
    artifact = load_artifact(find_model(model, messages))
    clips = _clips(artifact, data, reading, messages) if data else None
    exported = export_model(artifact, target, out, clips, purpose, runtime, force)
    for note in exported.notes:
        messages.warn(note)
    if as_json:
        print_json(_as_object(exported, target, artifact, clips))
    else:
        _print(exported)
        messages.note(f"{exported.path / 'README.md'} tells how to use it")
    if clips and clips.bad:
        raise typer.Exit(FAILED)


def _clips(
    artifact: "Artifact", data: list[Path], reading: DataOptions, messages: Messages
) -> "Clips":
    """Return the clips to compare on; report those that cannot be read."""
    from speechcls.deployment.check import clips_of
    from speechcls.runtime.classifier import Classifier

    dataset = reading.load(data, messages)
    with item_bar(messages, "evaluating", len(dataset.examples)) as on_clip:
        clips = clips_of(Classifier(artifact), dataset, on_clip)
    messages.errors(clips.bad)
    messages.note(f"compared on {clips.about}")
    return clips


def _as_object(
    exported: "Exported", target: str, artifact: "Artifact", clips: "Clips | None"
) -> dict[str, object]:
    return {
        "target": target,
        "model": str(artifact.path),
        "out": str(exported.path),
        "files": dict(exported.files),
        "checks": {name: each.to_dict() for name, each in exported.checks.items()},
        "notes": list(exported.notes),
        "bad": list(clips.bad) if clips else [],
    }


def _print(exported: "Exported") -> None:
    headings = ("file", "bytes", "answers", "largest difference", "equal %", "accuracy %", "was %")
    rows: list[tuple[str, ...]] = []
    for name, n_bytes in exported.files.items():
        check = exported.checks.get(name)
        if check is None:
            rows.append((name, f"{n_bytes:,}", *("",) * 5))
            continue
        ratios = (check.equal_ratio, check.accuracy, check.model_accuracy)
        percent = (or_dash(None if ratio is None else 100 * ratio, ".1f") for ratio in ratios)
        shown = f"{check.n_answers:,}", f"{check.largest_difference:.2g}", *percent
        rows.append((name, f"{n_bytes:,}", *shown))
    print_table(headings, rows, text=("file",))
