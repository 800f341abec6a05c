"""``speechcls push``."""

from pathlib import Path
from typing import Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import Quiet, Verbose, as_path, option
from speechcls.cli.tables import print_line

_MODEL = typer.Argument(
    help="Folder of the model, or the name of one that comes with speechcls.",
    metavar="MODEL",
    parser=as_path,
)
_REPOSITORY = typer.Argument(help="Repository of the Hub, as hf://user/name.", metavar="REPOSITORY")
_PUBLIC = option("--public", help="Let anybody see a repository that is made.")


@reports_errors
def push(
    model: Annotated[Path, _MODEL],
    repository: Annotated[str, _REPOSITORY],
    public: Annotated[bool, _PUBLIC] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Upload a model to the Hugging Face Hub.

    All files of the model and nothing else go up in one commit (pip install 'speechcls[hub]'); they
    are verified first. A repository that is not there is made, and private: a model tells about the
    recordings that trained it. The token is that of hf auth login, or $HF_TOKEN. Prints the
    repository with the commit.

    Example: speechcls push models/data-gru hf://user/name
    """
    from speechcls.hub.repository import parse_repository
    from speechcls.hub.transfer import count_named, push

    messages = Messages(quiet, verbose)
    place = parse_repository(repository)
    n_clips, n_speakers = count_named(model)
    messages.note(f"goes up with split.csv, which names {n_clips} clips and {n_speakers} speakers")
    print_line(f"{place}@{push(model, place, public)}")
    messages.next_steps(("pull", place))
