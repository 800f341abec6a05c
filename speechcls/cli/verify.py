"""``speechcls verify``."""

from pathlib import Path
from typing import Annotated

import typer

from speechcls.cli.common import FAILED, reports_errors
from speechcls.cli.inputs import find_model
from speechcls.cli.messages import Messages
from speechcls.cli.options import Quiet, Verbose, as_path
from speechcls.cli.tables import print_line

_MODEL = typer.Argument(
    help="Folder of the model. [default: the model that predict takes]",
    metavar="[MODEL]",
    show_default=False,
    parser=as_path,
)


@reports_errors
def verify(
    model: Annotated[Path | None, _MODEL] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check that a model's files are whole, fit each other, and are safe to run.

    Each file is compared with the SHA-256 in the model's manifest.json and read; the graphs may
    have no operators but those of speechcls's networks, must fit config.json, and are run on
    silence and on noise. Prints "ok" or "bad" and the name of each file; what is wrong with it is
    said on stderr, and the exit code is 1. The manifest tells damage and mixed files, not who made
    a model: whoever changes a file can change the manifest.

    Example: speechcls verify commands
    """
    from speechcls.runtime.verify import verify as findings_of

    messages = Messages(quiet, verbose)
    n_bad = 0
    path = find_model(model, messages)
    for finding in findings_of(path):
        if finding.is_foreign:
            messages.note(f"{finding.file}: not a file of a model, not checked")
            continue
        print_line("bad" if finding.problem else "ok", finding.file)
        if finding.problem:
            n_bad += 1
            messages.error(str(finding.problem))
    if n_bad:
        raise typer.Exit(FAILED)
    messages.next_steps(("predict", "CLIP", "--model", path), in_scripts=False)
