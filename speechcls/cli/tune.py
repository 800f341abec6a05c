"""``speechcls tune``: a search for settings, with progress."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from speechcls.cli.common import INTERRUPTED as STOPPED
from speechcls.cli.common import own_place, reports_errors
from speechcls.cli.config_options import OptionGroup, given_fields, with_config_options
from speechcls.cli.data_options import DataOptions, announce, with_data_options
from speechcls.cli.inputs import bring_input
from speechcls.cli.messages import Messages
from speechcls.cli.options import (
    OUTPUT,
    TRAINING,
    AsJson,
    Commands,
    DataSources,
    HiddenTestSpeakers,
    Jobs,
    Quiet,
    TrainDevice,
    Verbose,
    as_path,
    option,
    out_option,
    split_names,
)
from speechcls.cli.progress import item_bar, work_bar
from speechcls.cli.train import Closed, FromModel, Size
from speechcls.cli.training_report import announce_plan
from speechcls.cli.tune_report import describe_choice, describe_end, report_search
from speechcls.config import SearchConfig, TrainConfig
from speechcls.errors import TrainingError

if TYPE_CHECKING:
    from speechcls.experiments.search import SearchCallbacks
    from speechcls.experiments.search_space import Choice
    from speechcls.layouts.examples import Dataset
    from speechcls.training.plan import TrainPlan
    from speechcls.training.settings import Sections

_PANEL = "Search"
_LIMITS = OptionGroup(SearchConfig, _PANEL, ("trials", "minutes"), ("trials", "minutes"))
_FIELDS = ("recipe", "epochs", "seed")
_TRAINING = OptionGroup(TrainConfig, TRAINING, _FIELDS, _FIELDS)

Archs = Annotated[
    str | None,
    option(
        "--archs",
        help="Architectures to choose from, as crnn,gru; the first one is the default."
        " [default: all]",
        panel=_PANEL,
        metavar="ARCHS",
    ),
]
Given = Annotated[
    Path | None,
    option(
        "--config",
        help="Settings that stay as they are, in a .toml file (see help config).",
        panel=_PANEL,
        metavar="FILE",
        parser=as_path,
    ),
]
Out = Annotated[
    Path | None,
    out_option("Folder of the search and its best model. [default: tuning/<data>]", metavar="DIR"),
]
Force = Annotated[
    bool,
    option("--force", help="Replace a search in --out with other settings or data.", panel=OUTPUT),
]


@reports_errors
@with_data_options
@with_config_options(_LIMITS, _TRAINING)
def tune(
    reading: DataOptions,
    data: DataSources,
    commands: Commands = None,
    test_speakers: HiddenTestSpeakers = None,
    closed: Closed = False,
    size: Size = None,
    from_model: FromModel = None,
    archs: Archs = None,
    config: Given = None,
    device: TrainDevice = "auto",
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    **fields: Any,
) -> None:
    """Search for the settings of train that suit the data best.

    What an option or --config gives stays as it is. Of the rest the search chooses the model to
    start from, the network, its size, learning rate, augmentation, window and more, by the balanced
    accuracy on the validation clips; test clips are not looked at. The first trial has the default
    settings, and trials that promise little are pruned. --out gets the best model, its settings as
    train.toml, and every trial. The same command goes on with a search that was ended, and several
    at once, or the processes of torchrun, share one. It needs pip install 'speechcls[tune]'.

    Example: speechcls tune data/ --commands yes,no --trials 40 --minutes 60
    """
    from speechcls.training.settings import merge_sections, naming_file, read_config

    in_data = {
        "commands": split_names("commands", commands) or None,
        "test_speakers": split_names("test_speakers", test_speakers) or None,
        "closed": closed or None,
    } | reading.as_settings()
    training = given_fields(_TRAINING, fields) | ({"from_model": from_model} if from_model else {})
    options = {
        "network": {"size": size} if size else {},
        "training": training,
        "data": {name: value for name, value in in_data.items() if value is not None},
    }
    in_file = read_config(bring_input(config)) if config else {}
    asked = _Search(
        data,
        merge_sections(in_file, options),
        split_names("archs", archs),
        out,
        SearchConfig(**given_fields(_LIMITS, fields)),
        device,
        jobs,
        force,
    )
    with naming_file(config, in_file, options):
        _run(asked, as_json, Messages(quiet, verbose))


class _Search(NamedTuple):
    """What is asked for."""

    data: list[Path]
    given: "Sections"
    archs: list[str]
    out: Path | None
    limits: SearchConfig
    device: str
    jobs: int | None
    force: bool


def _run(asked: _Search, as_json: bool, messages: Messages) -> None:
    """Search, and print what it came to; exit with a code other than 0 after Ctrl-C."""
    from speechcls.experiments.search import INTERRUPTED, OUT_OF_TIME, search
    from speechcls.experiments.search_result import conclude
    from speechcls.training.settings import TrainSettings

    own, is_main = TrainSettings.from_sections(asked.given).data, own_place().is_main
    with _showing(messages, asked.limits.trials) as callbacks:
        folder, ended = search(
            *(asked.data, asked.given, asked.out, asked.archs, asked.limits),
            device=asked.device,
            jobs=asked.jobs,
            force=asked.force,
            callbacks=callbacks,
        )
    if not is_main:
        raise typer.Exit(STOPPED if ended == INTERRUPTED else 0)
    try:
        result = conclude(folder)
    except TrainingError:
        if ended != INTERRUPTED:
            raise
        raise KeyboardInterrupt from None
    report_search(result, asked.data, own, as_json, messages)
    if ended == OUT_OF_TIME:
        messages.note(f"ended after {asked.limits.minutes:g} minutes; the same command goes on")
    if ended == INTERRUPTED:
        messages.note("interrupted; the same command goes on")
        raise typer.Exit(STOPPED)


@contextmanager
def _showing(messages: Messages, n_trials: int) -> Iterator["SearchCallbacks"]:
    """Yield the callbacks that show a search: bars on a terminal, a line for each trial."""
    from speechcls.experiments.search import SearchCallbacks

    with ExitStack() as bars:
        advance: list[Any] = []
        n_begun = 0

        def on_dataset(dataset: "Dataset") -> None:
            announce(dataset, messages)
            advance[:] = [bars.enter_context(item_bar(messages, "reading", len(dataset.examples)))]

        def on_start(plan: "TrainPlan", n_ended: int) -> None:
            bars.close()
            announce_plan(plan, messages)
            if n_ended:
                messages.note(f"goes on with a search, of which {n_ended} trials are done")
            advance[:] = [bars.enter_context(work_bar(messages, "searching", n_trials))]

        def on_claim(index: int, choice: "Choice") -> None:
            nonlocal n_begun
            n_begun = index
            messages.detail(f"trial {index}: {describe_choice(choice)}")

        yield SearchCallbacks(
            on_dataset=on_dataset,
            on_clip=lambda: advance[0](),
            on_start=on_start,
            on_claim=on_claim,
            on_fraction=lambda fraction: advance[0](n_begun + fraction),
            on_trial=lambda end: messages.note(describe_end(end, n_trials)),
            on_warning=messages.warn,
        )
