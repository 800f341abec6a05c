"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from speechcls.errors import ConfigError

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print more, and where an error arose.")
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        help="Folder of the model; commands comes with speechcls. [default: $SPEECHCLS_MODEL, else"
        " the newest in ./models/, else commands]",
        show_default=False,
    ),
]
Pattern = Annotated[
    str | None,
    typer.Option(
        help="What file names mean, as '{label}_{speaker}_{take}'; {_} matches anything.",
        metavar="PATTERN",
    ),
]
Noise = Annotated[
    Path | None,
    typer.Option(
        help="Folder of background recordings, besides DATA/_background_noise_.", metavar="DIR"
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Threads that read and compute. [default: all cores]"),
]

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Device = Annotated[str, typer.Option(help="cpu, or cuda where ONNX Runtime has it.")]


def split_names(option: str, text: str | None) -> list[str]:
    """Return the names in a comma-separated option; none where it is not given."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if text is not None and not names:
        raise ConfigError(f"{option} {text!r}: names nothing; give names, as ann,bob")
    return names
