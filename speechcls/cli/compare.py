"""``speechcls compare``: trained models, architectures to train, or their memory."""

import dataclasses
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from speechcls.cli.common import FAILED, given, refuse, reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import (
    DATA,
    MEMORY,
    OUTPUT,
    TRAINING,
    AsJson,
    Commands,
    Jobs,
    Noise,
    Pattern,
    Quiet,
    TestSpeakers,
    TrainDevice,
    Verbose,
    as_path,
    option,
    out_option,
    split_names,
)
from speechcls.cli.outputs import check_file_place, check_folder_place
from speechcls.cli.resume import Resume
from speechcls.config import RECIPES, DataConfig
from speechcls.errors import ConfigError
from speechcls.storage.places import name_of

if TYPE_CHECKING:
    from speechcls.layouts.examples import Dataset

_MEMORY_ARCHS = ["rnn", "lstm", "gru"]
_FEWEST = 2

_TRAINED = {"data", "pattern", "noise", "out", "as_json"}
OPTIONS_OF = {
    "": _TRAINED | {"differences", "report", "speed", "jobs", "resume"},
    "--archs": _TRAINED
    | {"archs", "seeds", "epochs", "size", "commands", "test_speakers", "device"}
    | {"differences", "report", "speed", "jobs", "resume"},
    "--memory": _TRAINED | {"archs", "seeds", "commands", "memory", "max_gap_s", "steps"},
}
"""Options that each way of comparing uses, beside --quiet and --verbose."""

_PATHS = typer.Argument(
    help="Models, or folders of them; with --archs or --memory the recordings.",
    metavar="MODEL...|DATA",
    show_default=False,
    parser=as_path,
)
_DATA = option(
    "--data",
    help="Recordings on which the models are compared.",
    panel=DATA,
    metavar="DATA",
    parser=as_path,
)
_ARCHS = option(
    "--archs",
    help="Train these first, as rnn,lstm,gru; speechcls archs lists them.",
    panel=TRAINING,
    metavar="ARCHS",
)
_SEEDS = option("--seeds", min=1, help="Trainings of each architecture.", panel=TRAINING)
_EPOCHS = option("--epochs", min=1, help="Passes over the clips in each.", panel=TRAINING)
_SIZE = option(
    "--size", help="tiny, small or base: parameters that each stays below.", panel=TRAINING
)
_MEMORY = option(
    "--memory",
    help="Measure how long each architecture remembers a word, of DATA or synthetic.",
    panel=MEMORY,
)
_MAX_GAP = option(
    "--max-gap",
    min=0.5,
    max=20.0,
    help="Longest gap between word and prediction.",
    panel=MEMORY,
    metavar="SECONDS",
)
_STEPS = option("--steps", min=1, help="Training batches of each network.", panel=MEMORY)
_OUT = out_option(
    "Folder of pictures, and of the models of --archs. [default: comparison with --archs, else no"
    " pictures]",
    "DIR",
)
_DIFFERENCES = option(
    "--differences",
    help="Write a CSV of the clips on which predictions differ.",
    panel=OUTPUT,
    metavar="FILE",
)
_REPORT = option(
    "--report",
    help="Write a page of the comparison, with players for the clips on which they differ.",
    panel=OUTPUT,
    metavar="DIR",
)
_SPEED = option("--speed/--no-speed", help="Measure time and memory too.", panel=OUTPUT)


class _TrainOptions(NamedTuple):
    """Budget and machine of the trainings of ``--archs``."""

    n_seeds: int
    size: str
    epochs: int
    device: str
    jobs: int | None


class _MemoryOptions(NamedTuple):
    """Budget of the trainings of ``--memory``."""

    n_seeds: int
    steps: int
    max_gap_s: float


@reports_errors
def compare(
    ctx: typer.Context,
    paths: Annotated[list[Path] | None, _PATHS] = None,
    data: Annotated[Path | None, _DATA] = None,
    pattern: Pattern = None,
    noise: Noise = None,
    commands: Commands = None,
    test_speakers: TestSpeakers = None,
    archs: Annotated[str | None, _ARCHS] = None,
    seeds: Annotated[int, _SEEDS] = 1,
    epochs: Annotated[int, _EPOCHS] = 10,
    size: Annotated[str, _SIZE] = "tiny",
    device: TrainDevice = "auto",
    memory: Annotated[bool, _MEMORY] = False,
    max_gap_s: Annotated[float, _MAX_GAP] = 3.0,
    steps: Annotated[int, _STEPS] = 1_500,
    out: Annotated[Path | None, _OUT] = None,
    differences: Annotated[Path | None, _DIFFERENCES] = None,
    report: Annotated[Path | None, _REPORT] = None,
    resume: Resume = False,
    speed: Annotated[bool, _SPEED] = True,
    as_json: AsJson = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compare models on the same clips, with tests of significance.

    The clips are those that no model was trained on; the validation split counts only where there
    is no test split. Two models are compared by McNemar's exact test and a bootstrap over speakers,
    corrected for the number of pairs (Holm); several trainings by a bootstrap over speakers and
    trainings. With --archs each architecture is trained first, on one budget; models in --out are
    kept. With --memory small equal networks predict a word seconds after its end.

    Example: speechcls compare models/a models/b --data data/
    """
    from speechcls.cli.compare_models import CompareOptions, compare_models
    from speechcls.layouts.load import load_dataset

    messages = Messages(quiet, verbose)
    names, words = split_names("archs", archs), split_names("commands", commands)
    way = _check_usage(ctx, memory, names, (out, report), differences)
    if memory:
        sources = _given_data(paths, data, way, at_least=0)
        recordings = load_dataset(sources, pattern, noise) if sources else None
        budget = _MemoryOptions(seeds, steps, max_gap_s)
        return _compare_memory(recordings, names, budget, words, out, as_json, messages)
    if names:
        out = out or Path("comparison")
        dataset = load_dataset(_given_data(paths, data, way, at_least=1), pattern, noise)
        budgets = _TrainOptions(seeds, size, epochs, device, jobs)
        in_data = _data_config(words, test_speakers, pattern, noise)
        groups = _train(dataset, names, budgets, in_data, out, messages)
    else:
        groups, source = _find_models(paths, data)
        dataset = load_dataset(source, pattern, noise)
    options = CompareOptions(out, differences, report, resume, speed, as_json, jobs)
    _finish(compare_models(groups, dataset, options, messages), groups, messages)


def _finish(bad: list[str], groups: dict[str, list[Path]], messages: Messages) -> None:
    """Print what could not be compared, and how to see where two models part."""
    messages.errors(bad)
    if bad:
        raise typer.Exit(FAILED)
    both = [("--model", models[0]) for models in groups.values()][:2]
    messages.next_steps(("explain", "CLIP", *chain(*both)), in_scripts=False)


def _check_usage(
    ctx: typer.Context,
    memory: bool,
    archs: Sequence[str],
    folders: Sequence[Path | None],
    differences: Path | None,
) -> str:
    """Return the way of comparing, one of ``OPTIONS_OF``.

    Options without effect in it are refused, and so are paths that cannot be written.
    """
    way = "--memory" if memory else "--archs" if archs else ""
    for name in sorted(given(ctx) - OPTIONS_OF[way] - {"paths", "quiet", "verbose"}):
        ways = " and ".join(each or "models" for each in OPTIONS_OF if name in OPTIONS_OF[each])
        refuse(ctx, [name], f"here; it is for {ways} alone")
    for folder in filter(None, folders):
        check_folder_place(folder)
    if differences:
        check_file_place(differences)
    return way


def _given_data(
    paths: list[Path] | None, data: Path | None, option: str, at_least: int
) -> list[Path]:
    """Return the data set that is given, in a list; an empty one where none is."""
    named = [*(paths or ()), *([data] if data else ())]
    if not at_least <= len(named) <= 1:
        raise ConfigError(
            f"{option}: {len(named)} data sets are given; name one folder or manifest"
        )
    return named


def _find_models(paths: list[Path] | None, data: Path | None) -> tuple[dict[str, list[Path]], Path]:
    """Return the models to compare, each under its name, and the recordings."""
    from speechcls.artifact.lookup import find_artifacts

    if files := [path for path in paths or () if path.is_file()]:
        raise ConfigError(
            f"{files[0]}: a file, not a model; name recordings with --data, or add --archs to"
            " train on them"
        )
    models = dict.fromkeys(model for path in paths or () for model in find_artifacts(path))
    if data is None:
        raise ConfigError("not given; name the recordings to compare the models on", field="data")
    if len(models) < _FEWEST:
        raise ConfigError(
            f"{len(models)} model{'s' if len(models) != 1 else ''} named; name two or more, or"
            " recordings and --archs"
        )
    return {name_of(model): [model] for model in models}, data


def _data_config(
    words: list[str], test_speakers: str | None, pattern: str | None, noise: Path | None
) -> DataConfig:
    speakers = split_names("test_speakers", test_speakers)
    return DataConfig(tuple(words), tuple(speakers), pattern, name_of(noise) if noise else None)


def _train(
    dataset: "Dataset",
    archs: list[str],
    training: _TrainOptions,
    data: DataConfig,
    out: Path,
    messages: Messages,
) -> dict[str, list[Path]]:
    """Train the models that ``out`` does not hold yet; return those of each architecture."""
    from speechcls.cli.compare_training import train_all
    from speechcls.parallel import default_jobs

    epochs = training.epochs
    return train_all(
        dataset,
        archs,
        training.n_seeds,
        training.size,
        dataclasses.replace(RECIPES["fast"], epochs=epochs, patience=epochs),
        data,
        out,
        training.device,
        training.jobs or default_jobs(),
        messages,
    )


def _compare_memory(
    dataset: "Dataset | None",
    archs: list[str],
    budget: _MemoryOptions,
    commands: list[str],
    out: Path | None,
    as_json: bool,
    messages: Messages,
) -> None:
    """Run the delayed-recall experiment."""
    from speechcls.cli.compare_memory import compare_memory
    from speechcls.experiments.delayed_recall import DelayedRecallConfig

    config = DelayedRecallConfig(max_gap_s=budget.max_gap_s, steps=budget.steps)
    archs = archs or _MEMORY_ARCHS
    compare_memory(dataset, archs, budget.n_seeds, config, commands, out, as_json, messages)
    best = ("compare", "DATA", "--archs", ",".join(archs))
    messages.next_steps(best, in_scripts=False)
