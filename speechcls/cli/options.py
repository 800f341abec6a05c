"""Options that several commands share, each declared once, and the rules that all options keep.

* What means the same has one name in every command: ``--out/-o`` for the file or folder that is
  written, ``--model/-m`` for a trained model, ``--json`` and ``--csv`` for the format on
  stdout, ``--device`` for the computing device, ``--microphone`` for a microphone, ``--rate`` for
  the sample rate of sound without a header.
* A name has no unit: ``--smoothing``, not ``--smoothing-s``. The unit stands in place of the value
  in the help: ``SECONDS``, ``DB``, ``HZ``.
* A parameter of a command has the name of the library's field that it sets, with its unit
  (``smoothing_s``), so that an error about the field names the option (``common.option_of``).
* An option that writes a further file is named for its content and takes ``FILE`` or ``DIR``
  (``--html``, ``--findings``, ``--report``).
* An option without effect beside the others is refused by name (``common.refuse``).
"""

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechcls.config import DEFAULT_MODEL, LIVE_MODEL
from speechcls.errors import ConfigError, StorageError
from speechcls.storage.places import local_path

if TYPE_CHECKING:
    from speechcls.runtime.writers import Format

DATA, MODEL, DETECTION = "Data", "Model", "Detection"
TRAINING, MEMORY = "Training", "Memory"
SOURCE, OUTPUT = "Source", "Output"
CLUSTER = "Cluster"
"""Panels of the help. An option in no panel is among ``Options``, at the end."""


def as_path(name: str) -> Path:
    """Return the path that is named, of an address that of its files once they are fetched."""
    try:
        return local_path(name)
    except StorageError as error:
        raise typer.BadParameter(str(error)) from error


def option(*names: str, help: str, panel: str | None = None, **settings: Any) -> Any:
    """Return the declaration of an option, for ``Annotated``."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **settings)


def out_option(help: str, metavar: str = "FILE", **settings: Any) -> Any:
    """Return the declaration of ``--out/-o``, whose help says what is written there."""
    return option("--out", "-o", help=help, panel=OUTPUT, metavar=metavar, **settings)


Quiet = Annotated[bool, option("--quiet", "-q", help="Print errors only.")]
Verbose = Annotated[
    bool, option("--verbose", "-v", help="Print details and, after an error, the traceback.")
]
Jobs = Annotated[
    int | None,
    option("--jobs", min=1, help="Threads that read and compute. [default: all cores]"),
]

FilesFrom = Annotated[
    str | None,
    option(
        "--files-from",
        help="List of recordings: text with one path per line (- for stdin); CSV, JSON lines or"
        " Parquet with a column of paths, or a folder of them; also compressed, and at an address.",
        panel=SOURCE,
        metavar="FILE",
    ),
]
Null = Annotated[
    bool,
    option("--null", "-0", help="Paths of --files-from end with NUL, not newline.", panel=SOURCE),
]
Engine = Annotated[
    str,
    option(
        "--engine",
        help="local, or ray: many processes, here or on a cluster, write --files-from as Parquet"
        " into the folder --out (pip install 'speechcls[ray]').",
        panel=CLUSTER,
        metavar="ENGINE",
    ),
]
Address = Annotated[
    str | None,
    option(
        "--address",
        help="Ray cluster, as auto or HOST:PORT. [default: $RAY_ADDRESS, else this machine]",
        panel=CLUSTER,
        metavar="ADDRESS",
    ),
]

Workers = Annotated[
    int | None,
    option(
        "--workers",
        min=1,
        help="Processes of --engine ray. [default: one for each CPU of the cluster, with --device"
        " cuda for each GPU]",
        panel=CLUSTER,
    ),
]

DataSource = Annotated[
    Path,
    typer.Argument(
        help="Folder of recordings, or a manifest (see help data).",
        metavar="DATA",
        parser=as_path,
    ),
]
DataSources = Annotated[
    list[Path],
    typer.Argument(
        help="Folder of recordings, or manifests of one data set (see help data).",
        metavar="DATA...",
        parser=as_path,
    ),
]
ClipArgument = Annotated[
    str, typer.Argument(help="Recording, or - for one on stdin.", metavar="CLIP")
]
Pattern = Annotated[
    str | None,
    option(
        "--pattern",
        help="What file names mean, as '{label}_{speaker}_{take}'; {_} matches anything.",
        panel=DATA,
        metavar="PATTERN",
    ),
]
_NOISE = ("--noise",)
Noise = Annotated[
    Path | None,
    option(
        *_NOISE,
        help="Folder of background noise, besides DATA/_background_noise_.",
        panel=DATA,
        metavar="DIR",
        parser=as_path,
    ),
]
NoiseFolder = Annotated[
    Path,
    option(*_NOISE, help="Folder of background noise.", panel=DATA, metavar="DIR", parser=as_path),
]
NoiseFolders = Annotated[
    list[Path],
    option(
        *_NOISE,
        help="Folder of sound without commands; may be repeated.",
        panel=DATA,
        metavar="DIR",
        parser=as_path,
    ),
]
Commands = Annotated[
    str | None,
    option(
        "--commands",
        help="Words to recognise, as yes,no; every other one is _unknown_. [default: all]",
        panel=DATA,
        metavar="WORDS",
    ),
]


def _test_speakers(**settings: Any) -> Any:
    return option(
        "--test-speakers",
        help="Speakers to hold out for the test, as ann,bob.",
        panel=DATA,
        metavar="NAMES",
        **settings,
    )


TestSpeakers = Annotated[str | None, _test_speakers()]
HiddenTestSpeakers = Annotated[str | None, _test_speakers(hidden=True)]
"""For a command in which ``--help`` does not show it."""

_MODEL = ("--model", "-m")


def _model(default: str) -> Any:
    return option(
        *_MODEL,
        help="Folder of the model, or the name of one that comes with speechcls (see help models)."
        f" [default: $SPEECHCLS_MODEL, else the newest in ./models/, else {default}]",
        panel=MODEL,
        metavar="MODEL",
        show_default=False,
        parser=as_path,
    )


Model = Annotated[Path | None, _model(DEFAULT_MODEL)]
Models = Annotated[list[Path] | None, _model(DEFAULT_MODEL)]
"""For a command that compares several, each with an option of its own."""
LiveModel = Annotated[Path | None, _model(LIVE_MODEL)]
Device = Annotated[
    str,
    option(
        "--device",
        help="cpu, or cuda where ONNX Runtime has it.",
        panel=MODEL,
        metavar="DEVICE",
    ),
]
TrainDevice = Annotated[
    str,
    option(
        "--device",
        help="Device to train on: auto, cpu, cuda or mps.",
        panel=TRAINING,
        metavar="DEVICE",
    ),
]
Seed = Annotated[int, option("--seed", min=0, help="Seed of everything that is random.")]

Threshold = Annotated[
    float | None,
    option(
        "--threshold",
        min=0.0,
        max=1.0,
        help="Detection threshold, a probability, for every label. [default: the model's own]",
        panel=DETECTION,
    ),
]
Labels = Annotated[
    str | None,
    option(
        "--labels",
        help="Labels to detect, as yes,no. [default: all but _unknown_ and _silence_]",
        panel=DETECTION,
        metavar="LABELS",
    ),
]
_RATE = "16-bit little-endian PCM without a header, one channel, of this sample rate."
Rate = Annotated[
    int | None,
    option("--rate", min=1_000, max=768_000, help=f"Read {_RATE}", panel=SOURCE, metavar="HZ"),
]
Channel = Annotated[
    int | None,
    option(
        "--channel",
        min=1,
        help="Channel to use, the first is 1. [default: the mean of those with sound]",
        panel=SOURCE,
    ),
]

AsJson = Annotated[bool, option("--json", help="Print one JSON object.", panel=OUTPUT)]
AsJsonLines = Annotated[
    bool, option("--json", help="Print one JSON object per line.", panel=OUTPUT)
]
AsCsv = Annotated[bool, option("--csv", help="Print CSV with a header.", panel=OUTPUT)]
Raw = Annotated[
    bool,
    option(
        "--raw",
        help="In CSV: text as it is, without ' before what a spreadsheet takes for a formula.",
        panel=OUTPUT,
        hidden=True,
    ),
]


_UNITS = {"_s": "SECONDS", "_db": "DB", "_mb": "MB", "_kb": "KB"}


def format_option(formats: "Mapping[str, Format[Any]]") -> Any:
    """Return the declaration of ``--format``, whose help names the formats."""
    from speechcls.runtime.writers import describe_formats

    return option("--format", help=f"{describe_formats(formats)}.", panel=OUTPUT, metavar="FORMAT")


def name_of(field: str) -> tuple[str, str | None]:
    """Return the option that sets a field, and the unit of its value if it has one."""
    unit = next((unit for unit in _UNITS if field.endswith(unit)), "")
    return f"--{field.removesuffix(unit).replace('_', '-')}", _UNITS.get(unit)


def split_names(field: str, text: str | None) -> list[str]:
    """Return the names in a comma-separated option, each once; none where it is not given."""
    text = None if text is None else unicodedata.normalize("NFC", text)  # as labels are
    names = list(dict.fromkeys(filter(None, map(str.strip, (text or "").split(",")))))
    if text is not None and not names:
        raise ConfigError(f"{text!r} names nothing; give names, as ann,bob", field=field)
    return names
