"""Options that say how a data set is read, which every command that takes one has."""

import functools
import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, cast

from speechcls.cli.messages import Messages
from speechcls.cli.options import DATA, Channel, Noise, Pattern, as_path, option, split_names
from speechcls.cli.progress import fetching, item_bar
from speechcls.labels import list_names
from speechcls.storage.places import name_of

if TYPE_CHECKING:
    from speechcls.config import DataConfig
    from speechcls.data.segments import LongTakes
    from speechcls.layouts.examples import Dataset

F = TypeVar("F", bound=Callable[..., Any])

Columns = Annotated[
    str | None,
    option(
        "--columns",
        help="What a manifest calls its columns, as path=file,label=word.",
        panel=DATA,
        metavar="NAMES",
    ),
]
Root = Annotated[
    Path | None,
    option(
        "--root",
        help="Folder that the paths in a manifest are relative to. [default: its own]",
        panel=DATA,
        metavar="DIR",
        show_default=False,
        parser=as_path,
    ),
]
Segment = Annotated[
    bool,
    option(
        "--segment", help="Take long recordings of several words apart, at the pauses.", panel=DATA
    ),
]


class DataOptions(NamedTuple):
    """How a data set is read."""

    pattern: str | None = None
    noise: Path | None = None
    columns: str | None = None
    root: Path | None = None
    channel: int | None = None
    segment: bool = False

    def as_settings(self) -> dict[str, Any]:
        """Return what is given as fields of ``DataConfig``."""
        columns = tuple(split_names("columns", self.columns))
        values = {
            "pattern": self.pattern,
            "noise": self.noise and name_of(self.noise),
            "columns": columns or None,
            "root": self.root and name_of(self.root),
            "channel": self.channel,
            "segment": self.segment or None,
        }
        return {name: value for name, value in values.items() if value is not None}

    def as_arguments(self) -> list[str]:
        """Return what is given as words of a command line."""
        from speechcls.config import DataConfig

        return data_arguments(DataConfig(**self.as_settings()))

    def load(self, data: Sequence[Path], messages: Messages, jobs: int | None = None) -> "Dataset":
        """Return the data set in a folder or in manifests; print how it was understood."""
        from speechcls.layouts.load import load_dataset

        columns = split_names("columns", self.columns)
        dataset = load_dataset(
            data, self.pattern, self.noise, columns, self.root, self.channel, fetching(messages)
        )
        if self.segment:
            from speechcls.data.segments import segment
            from speechcls.parallel import default_jobs

            with item_bar(messages, "taking apart", len(dataset.examples)) as on_clip:
                dataset = segment(dataset, jobs or default_jobs(), on_clip)
        announce(dataset, messages)
        return dataset


_TYPES = {
    "pattern": Pattern,
    "noise": Noise,
    "columns": Columns,
    "root": Root,
    "channel": Channel,
    "segment": Segment,
}


def with_data_options(command: F) -> F:
    """Give a command these options in place of its parameter ``reading``, a ``DataOptions``."""
    signature = inspect.signature(command)
    made = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=DataOptions._field_defaults[name],
            annotation=_TYPES[name],
        )
        for name in DataOptions._fields
    ]
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        is_ours = parameter.name == "reading"
        keyword_only = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        parameters += made if is_ours else [keyword_only]

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        reading = DataOptions(**{name: options.pop(name) for name in DataOptions._fields})
        return command(*args, reading=reading, **options)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return cast(F, run)


def announce(dataset: "Dataset", messages: Messages) -> None:
    """Print the labels of a data set, and what was understood, so that a wrong reading is seen."""
    from speechcls.layouts.examples import SPLITS

    own = [example for example in dataset.examples if not example.is_reviewed]
    labels = list_names({example.label for example in own})
    splits = Counter(example.split for example in own if example.split)
    given = ", ".join(f"{splits[name]} {name}" for name in SPLITS if splits[name])
    messages.note(f"labels {labels}{f'; split {given}' if given else ''}")
    for note in dataset.notes:
        messages.note(note)
    for warning in dataset.warnings:
        messages.warn(warning)


def describe_long_takes(takes: "LongTakes") -> str:
    """Return what is not used of long takes, and the commands that take them apart."""
    clips = "1 clip lasts" if takes.n_clips == 1 else f"{takes.n_clips} clips last"
    return (
        f"{clips} up to {takes.longest_s:.1f} s, {takes.n_windows:.0f} times longer than the window"
        f" of {takes.window_s:g} s ({takes.first} first): only the loudest part of each is used,"
        f" {100 * takes.unused_ratio:.0f} % of the sound is not; take them apart in place with"
        " --segment, or with speechcls record LABEL --from FILE"
    )


def data_arguments(config: "DataConfig") -> list[str]:
    """Return the options that read the data set of a training again."""
    values = {
        "--pattern": config.pattern,
        "--noise": config.noise,
        "--columns": ",".join(config.columns) or None,
        "--root": config.root,
        "--channel": config.channel,
    }
    given = [(name, str(value)) for name, value in values.items() if value is not None]
    return [*itertools.chain(*given), *(["--segment"] if config.segment else [])]
