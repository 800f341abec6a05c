"""``speechcls compare``."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import FAILED, check_file_place, check_folder_place, reports_errors
from speechcls.cli.messages import Messages, report_bad
from speechcls.cli.options import AsJson, Jobs, Noise, Pattern, Quiet, Verbose, split_names
from speechcls.config import RECIPES, DataConfig
from speechcls.errors import ConfigError

if TYPE_CHECKING:
    from speechcls.data.examples import Dataset

_MEMORY_ARCHS = "rnn,lstm,gru"
_FEWEST = 2


_TRAINING = {"seeds", "commands", "pattern", "noise", "out", "json"}
_TAKEN = {
    "": {"data", "out", "differences", "speed", "json", "pattern", "noise", "jobs"},
    "--archs": _TRAINING
    | {
        "archs",
        "data",
        "epochs",
        "size",
        "test_speakers",
        "differences",
        "speed",
        "device",
        "jobs",
    },
    "--memory": _TRAINING | {"archs", "data", "memory", "longest_s", "steps"},
}
"""Options that each way of comparing takes, beside --quiet and --verbose."""


@reports_errors
def compare(
    ctx: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Models, or folders of them; with --archs or --memory the recordings.",
            metavar="MODEL...|DATA",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Recordings that the models are compared on.", metavar="DATA"),
    ] = None,
    archs: Annotated[
        str | None,
        typer.Option(help="Train these first, as rnn,lstm,gru; speechcls archs lists them."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each architecture.")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the clips in each.")] = 10,
    size: Annotated[
        str, typer.Option(help="tiny, small or base: parameters that each stays below.")
    ] = "tiny",
    memory: Annotated[
        bool,
        typer.Option(
            "--memory",
            help="Measure how long each architecture remembers a word, of DATA or of synthetic"
            " voices.",
        ),
    ] = False,
    longest_s: Annotated[
        float,
        typer.Option(
            "--longest", min=0.5, max=20.0, help="Longest gap of --memory, seconds after the word."
        ),
    ] = 3.0,
    steps: Annotated[
        int, typer.Option(min=1, help="Batches that each network of --memory learns from.")
    ] = 1_500,
    commands: Annotated[
        str | None,
        typer.Option(help="Labels to train on, as yes,no. [default: every one]"),
    ] = None,
    test_speakers: Annotated[
        str | None, typer.Option(help="Speakers to hold out for the test, as ann,bob.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of pictures, and of the models of --archs. [default: comparison with"
            " --archs, else no pictures]",
            metavar="DIR",
        ),
    ] = None,
    differences: Annotated[
        Path | None,
        typer.Option(help="Write the clips that they answer differently, a CSV.", metavar="FILE"),
    ] = None,
    speed: Annotated[
        bool, typer.Option("--speed/--no-speed", help="Whether to measure time and memory too.")
    ] = True,
    as_json: AsJson = False,
    device: Annotated[str, typer.Option(help="To train on: auto, cpu, cuda or mps.")] = "auto",
    pattern: Pattern = None,
    noise: Noise = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compare models on the same clips, and tell a difference from luck.

    The clips are those that all models were tested on or never saw; where no test clips are, those
    that validated all of them as well. Two models are compared by McNemar's exact test and by a
    bootstrap over speakers, corrected for the number of pairs (Holm); several trainings of an
    architecture by a bootstrap over speakers and trainings.

    With --archs each architecture is trained first, with one budget; what lies in --out already is
    not trained again. With --memory small networks learn to answer seconds after the end of a
    word: all read at the same rate, 10 ms a step and 40 ms a step, with as many parameters.

    Example: speechcls compare models/a models/b --data data/
    """
    messages = Messages(quiet, verbose)
    names = list(dict.fromkeys(split_names("--archs", archs)))
    _refuse_others(ctx, "--memory" if memory else "--archs" if names else "")
    # Places that cannot be written are refused before the hours of training.
    if out:
        check_folder_place(out)
    if differences:
        check_file_place(differences)
    if memory:
        _compare_memory(
            _only(paths, data, "--memory", needed=False),
            names or split_names("--archs", _MEMORY_ARCHS),
            (seeds, longest_s, steps, split_names("--commands", commands)),
            (pattern, noise),
            out,
            as_json,
            messages,
        )
        return
    from speechcls.artifact.lookup import find_artifacts
    from speechcls.cli.compare_models import Wanted, compare_models
    from speechcls.data.layouts import find_examples
    from speechcls.parallel import default_jobs

    wanted = Wanted(out, differences, speed, as_json, jobs)
    if names:
        recordings = _only(paths, data, "--archs", needed=True)
        from speechcls.cli.compare_training import train_all

        wanted = dataclasses.replace(wanted, out=out or Path("comparison"))
        groups = train_all(
            find_examples(Path(str(recordings)), pattern, noise),
            names,
            seeds,
            size,
            dataclasses.replace(RECIPES["fast"], epochs=epochs, patience=epochs),
            DataConfig(
                tuple(split_names("--commands", commands)),
                tuple(split_names("--test-speakers", test_speakers)),
                pattern,
                str(noise) if noise else None,
            ),
            Path(str(wanted.out)),
            device,
            jobs or default_jobs(),
            messages,
        )
    else:
        if files := [path for path in paths or () if path.is_file()]:
            raise ConfigError(
                f"{files[0]}: a file, not a model; name recordings with --data, or add --archs to"
                " train on them"
            )
        models = [model for path in paths or () for model in find_artifacts(path)]
        groups = {str(model): [model] for model in dict.fromkeys(models)}
        if data is None:
            raise ConfigError("--data: not given; name the recordings to compare the models on")
        if len(groups) < _FEWEST:
            raise ConfigError(
                f"{len(groups)} model{'s' if len(groups) != 1 else ''} named; name two or more, or"
                " recordings and --archs"
            )
        recordings = data
    dataset = find_examples(Path(str(recordings)), pattern, noise)
    bad = compare_models(groups, dataset, wanted, messages)
    report_bad(messages, bad)
    if bad:
        raise typer.Exit(FAILED)


def _refuse_others(ctx: typer.Context, way: str) -> None:
    """Refuse options that would have no effect in this way of comparing."""
    common = {"paths", "quiet", "verbose"}
    for option in ctx.command.params:
        name = str(option.name)
        plain = {"as_json": "json"}.get(name, name)
        source = getattr(ctx.get_parameter_source(name), "name", "")
        if source == "COMMANDLINE" and plain not in _TAKEN[way] | common:
            ways = " and ".join(each or "models" for each in _TAKEN if plain in _TAKEN[each])
            raise ConfigError(f"{option.opts[0]}: has no effect here; it is for {ways} alone")


def _only(paths: list[Path] | None, data: Path | None, option: str, needed: bool) -> Path | None:
    """Return the one place of recordings that is named."""
    named = [*(paths or ()), *([data] if data else ())]
    if len(named) > 1 or (needed and not named):
        raise ConfigError(
            f"{option}: {len(named)} places of recordings are named; name one folder or manifest"
        )
    return named[0] if named else None


def _compare_memory(
    place: Path | None,
    archs: list[str],
    budget: tuple[int, float, int, list[str]],
    layout: tuple[str | None, Path | None],
    out: Path | None,
    as_json: bool,
    messages: Messages,
) -> None:
    from speechcls.cli.compare_memory import compare_memory
    from speechcls.data.layouts import find_examples
    from speechcls.experiments.delayed_recall import DelayedRecallConfig

    dataset: Dataset | None = find_examples(place, *layout) if place else None
    n_seeds, longest_s, steps, commands = budget
    config = DelayedRecallConfig(longest_s=longest_s, steps=steps)
    compare_memory(dataset, archs, n_seeds, config, commands, out, as_json, messages)
