"""``speechcls pull``."""

from pathlib import Path
from typing import Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import OUTPUT, Quiet, Verbose, option, out_option
from speechcls.cli.tables import print_line
from speechcls.config import MODELS

_REPOSITORY = typer.Argument(
    help="Repository of the Hub, as hf://user/name, or hf://user/name@tag.", metavar="REPOSITORY"
)
_OUT = out_option("Folder to write the model to. [default: models/NAME]", "DIR", show_default=False)
_FORCE = option("--force", help="Replace the model that is there.", panel=OUTPUT)


@reports_errors
def pull(
    repository: Annotated[str, _REPOSITORY],
    out: Annotated[Path | None, _OUT] = None,
    force: Annotated[bool, _FORCE] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Download a model from the Hugging Face Hub.

    It is verified as speechcls verify does, and written whole or not at all (pip install
    'speechcls[hub]'). Prints the folder. To use one without keeping it, name it in place of a
    folder: --model hf://user/name.

    Example: speechcls pull hf://user/name --out models/theirs
    """
    from speechcls.hub.repository import parse_repository
    from speechcls.hub.transfer import pull

    messages = Messages(quiet, verbose)
    place = parse_repository(repository)
    folder = MODELS / place.name.partition("/")[2] if out is None else out
    commit = pull(place, folder, force)
    messages.note(f"{place}: commit {commit}, whole; that does not tell who made it")
    print_line(str(folder))
    messages.next_steps(("predict", "CLIP", "--model", folder))
