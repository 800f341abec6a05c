"""``speechcls train``."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechcls.cli.common import own_place, reports_errors
from speechcls.cli.config_options import OptionGroup, given_fields, with_config_options
from speechcls.cli.data_options import (
    DataOptions,
    announce,
    with_data_options,
)
from speechcls.cli.inputs import bring_input
from speechcls.cli.messages import Messages
from speechcls.cli.options import (
    DATA,
    OUTPUT,
    TRAINING,
    Commands,
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
from speechcls.cli.progress import item_bar, training_display
from speechcls.cli.scores import MinRecall
from speechcls.cli.training_report import announce_plan, report_result
from speechcls.config import (
    STREAM,
    STREAM_FEATURES,
    STREAM_NETWORK,
    DataConfig,
    FeatureConfig,
    NetworkConfig,
    TrainConfig,
)
from speechcls.errors import ConfigError

if TYPE_CHECKING:
    from speechcls.layouts.examples import Dataset
    from speechcls.training.plan import Callbacks, TrainPlan
    from speechcls.training.settings import TrainSettings

_FEATURES = OptionGroup(
    FeatureConfig,
    "Features",
    tuple(FeatureConfig.__dataclass_fields__),
    names={"kind": "--features", "relative": "--relative/--absolute"},
    defaults={"kind": "what suits the network", "duration_s": "the clips' usual length"},
)
_NETWORK = OptionGroup(
    NetworkConfig,
    "Network",
    tuple(NetworkConfig.__dataclass_fields__),
    shown=("arch",),
    texts={"arch": "Architecture; speechcls archs lists them."},
)
_AUGMENTATION_FIELDS = (
    *("speed_max", "shift_max", "equaliser_prob", "equaliser_db", "reverb_prob", "noise_prob"),
    *("snr_low_db", "snr_high_db", "gain_db", "time_masks", "time_mask_max"),
    *("frequency_masks", "frequency_mask_max"),
)
"""Fields of ``TrainConfig`` in the panel Augmentation; the others are in Training. Epochs of
snapshots are separated by commas, and have an option of their own."""
_TRAINING = OptionGroup(
    TrainConfig,
    TRAINING,
    tuple(
        name
        for name in TrainConfig.__dataclass_fields__
        if name not in (*_AUGMENTATION_FIELDS, "snapshots")
    ),
    shown=("recipe", "epochs", "seed"),
)
_AUGMENTATION = OptionGroup(TrainConfig, "Augmentation", _AUGMENTATION_FIELDS)
_GROUPS = (_NETWORK, _TRAINING, _AUGMENTATION, _FEATURES)

Data = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Folder with a sub-folder of recordings per word, or manifests (see help data).",
        metavar="DATA...",
        show_default=False,
        parser=as_path,
    ),
]
MaxBad = Annotated[
    float | None,
    option(
        "--max-bad",
        min=0.0,
        max=1.0,
        help=f"Largest fraction of clips that may be unusable. [default: {DataConfig.max_bad}]",
        panel=DATA,
        hidden=True,
    ),
]
Closed = Annotated[
    bool,
    option(
        "--closed",
        help="Take every sound for one of the labels: no sounds to reject are made.",
        panel=DATA,
    ),
]
Mistakes = Annotated[
    Path | None,
    option(
        "--mistakes",
        help="Folder of events that were kept and judged, to learn from (see review --help).",
        panel=DATA,
        metavar="DIR",
    ),
]
StreamShards = Annotated[
    bool,
    option(
        "--stream-shards",
        help="Decode the recordings in shards anew in each epoch, and keep no copy of them.",
        panel=DATA,
        hidden=True,
    ),
]
Verify = Annotated[
    bool,
    option(
        "--verify", help="Decode all recordings again, changed or not.", panel=DATA, hidden=True
    ),
]
Size = Annotated[
    str | None,
    option(
        "--size",
        help="Hidden size by parameters: tiny (30,000), small (100,000), base (400,000).",
        panel=_NETWORK.panel,
    ),
]
FromModel = Annotated[
    str | None,
    option(
        "--from",
        help="Trained model to start from: its features and network are kept, its last layer is"
        " new. auto is a model that comes with speechcls, unless there is much data or another"
        " network is asked for; none starts from nothing. [default: auto]",
        metavar="MODEL",
        panel=_NETWORK.panel,
    ),
]
Streaming = Annotated[
    bool,
    option(
        "--streaming",
        help="Train a causal network on running sound, for detect and listen:"
        " crnn, gru, lstm or rnn.",
        panel=_NETWORK.panel,
    ),
]
Out = Annotated[
    Path | None,
    out_option("Folder of the model. [default: models/<data>-<arch>]", metavar="DIR"),
]
Force = Annotated[bool, option("--force", help="Replace the model in --out.", panel=OUTPUT)]
Resume = Annotated[
    bool,
    option(
        "--resume",
        help="Go on with an interrupted training, as the same command does, or say that there is"
        " none.",
        panel=OUTPUT,
    ),
]
Snapshots = Annotated[
    str | None,
    option(
        "--snapshots",
        help="Keep the network at the end of these epochs too, as 1,5,40: the page of explain shows"
        " how it learnt.",
        metavar="EPOCHS",
        panel=OUTPUT,
    ),
]
TensorBoard = Annotated[
    Path | None,
    option(
        "--tensorboard",
        help="Log each epoch there (pip install 'speechcls[tensorboard]').",
        metavar="DIR",
        panel=OUTPUT,
        hidden=True,
    ),
]
ConfigFile = Annotated[
    Path | None,
    option(
        "--config",
        help="Settings: a .toml file, or config.json of a model to repeat its training; options"
        " override it (see help config).",
        metavar="FILE",
        parser=as_path,
    ),
]
ShowConfig = Annotated[
    bool,
    option("--show-config", help="Print all settings as a config file, and do nothing else."),
]


@reports_errors
@with_data_options
@with_config_options(*_GROUPS)
def train(
    reading: DataOptions,
    data: Data = None,
    commands: Commands = None,
    test_speakers: HiddenTestSpeakers = None,
    max_bad: MaxBad = None,
    closed: Closed = False,
    mistakes: Mistakes = None,
    stream_shards: StreamShards = False,
    verify: Verify = False,
    size: Size = None,
    from_model: FromModel = None,
    streaming: Streaming = False,
    device: TrainDevice = "auto",
    out: Out = None,
    force: Force = False,
    resume: Resume = False,
    snapshots: Snapshots = None,
    tensorboard: TensorBoard = None,
    config: ConfigFile = None,
    show_config: ShowConfig = False,
    min_recall: MinRecall = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    **fields: Any,
) -> None:
    """Train a recogniser on a folder of recordings.

    Speakers are held out for validation and test where they are known. Prints the model's folder.
    Ctrl-C ends the training early and saves the best model so far; the same command goes on.

    Example: speechcls train data/ --commands yes,no --arch gru --size tiny --recipe fast
    """
    in_data = {
        "commands": split_names("commands", commands) or None,
        "test_speakers": split_names("test_speakers", test_speakers) or None,
        "max_bad": max_bad,
        "closed": closed or None,
        "mistakes": str(mistakes) if mistakes else None,
        "stream_shards": stream_shards or None,
    } | reading.as_settings()
    fields |= {"size": size, "from_model": from_model, "snapshots": _split_epochs(snapshots)}
    settings, naming = _merge_settings(config, fields, in_data, streaming)
    if show_config:
        typer.echo(settings.to_toml(), nl=False)
        return
    if not data:
        raise typer.BadParameter(
            "DATA: not given; name the folder that holds a folder of recordings for each word"
        )
    from speechcls.training.run import train as train_model

    messages = Messages(quiet or not own_place().is_main, verbose)
    with naming(), _showing(messages, settings, tensorboard) as callbacks:
        how: dict[str, Any] = {"device": device, "jobs": jobs, "verify": verify}
        how |= {"force": force, "resume": resume, "callbacks": callbacks}
        result = train_model(data, settings, out, **how)
    report_result(result, data, settings, min_recall, messages)


def _split_epochs(text: str | None) -> list[int]:
    """Return the epochs in a comma-separated option, each once, the first one first."""
    names = split_names("snapshots", text)
    try:
        return sorted({int(name) for name in names})
    except ValueError:
        raise ConfigError(
            f"{text!r} is no list of epochs; give whole numbers, as 1,5,40", field="snapshots"
        ) from None


def _merge_settings(
    config: Path | None,
    fields: dict[str, Any],
    in_data: dict[str, Any],
    streaming: bool,
) -> "tuple[TrainSettings, Callable[[], AbstractContextManager[None]]]":
    """Return the settings of file and options, which override it, and what names the file.

    The latter makes a context in which errors about settings of the file name it.
    """
    from speechcls.training.settings import (
        AUTO,
        NOTHING,
        TrainSettings,
        merge_sections,
        naming_file,
        read_config,
    )

    features, network = given_fields(_FEATURES, fields), given_fields(_NETWORK, fields)
    training = given_fields(_TRAINING, fields) | given_fields(_AUGMENTATION, fields)
    if fields["size"]:
        network["size"] = fields["size"]
    for name in ("from_model", "snapshots"):
        if fields[name]:
            training[name] = fields[name]
    in_file = read_config(bring_input(config)) if config else {}
    start = (in_file.get("training", {}) | training).get("from_model", AUTO)
    is_started = start not in (AUTO, NOTHING)
    if streaming and not is_started:  # the model to start from decides the network
        arch = in_file.get("network", {}).get("arch", STREAM_NETWORK["arch"])
        features = STREAM_FEATURES | features
        network = STREAM_NETWORK | {"arch": arch} | network
    if streaming and (is_started or not in_file.get("training")):
        training.setdefault("recipe", STREAM)
    options = {
        "features": features,
        "network": network,
        "training": training,
        "data": {name: value for name, value in in_data.items() if value is not None},
    }
    with naming_file(config, in_file, options):
        settings = TrainSettings.from_sections(merge_sections(in_file, options))
    return settings, lambda: naming_file(config, in_file, options)


@contextmanager
def _showing(
    messages: Messages, settings: "TrainSettings", tensorboard: Path | None
) -> Iterator["Callbacks"]:
    """Yield the callbacks that show a training: bars on a terminal, lines elsewhere."""
    from speechcls.cli.tensorboard import import_summary_writer, logging_to
    from speechcls.training.plan import Callbacks

    if tensorboard:
        import_summary_writer()
    with ExitStack() as bars:
        advance: list[Any] = []

        def on_dataset(dataset: "Dataset") -> None:
            announce(dataset, messages)
            n_clips = len(dataset.examples)
            advance[:] = [bars.enter_context(item_bar(messages, "reading", n_clips))]

        def on_start(plan: "TrainPlan") -> None:
            bars.close()
            announce_plan(plan, messages)
            log = bars.enter_context(logging_to(tensorboard))
            display = training_display(messages, plan.settings.training.epochs, log)
            advance[:] = bars.enter_context(display)

        yield Callbacks(
            on_dataset=on_dataset,
            on_clip=lambda: advance[0](),
            on_start=on_start,
            on_epoch=lambda epoch: advance[0](epoch),
            on_step=lambda done: advance[1](done),
            on_save=bars.close,
            on_resume=lambda n_epochs: messages.note(
                f"goes on with an interrupted training, of which {n_epochs} epochs are done"
            ),
            on_warning=messages.warn,
            on_kept=lambda folder: messages.note(
                f"what is done is kept in {folder}; the same command goes on"
            ),
        )
