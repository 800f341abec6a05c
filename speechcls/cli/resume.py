"""``--resume``: the journal of a long run, beside its output."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from speechcls import __version__
from speechcls.cli.messages import Messages
from speechcls.cli.options import OUTPUT, option
from speechcls.errors import ConfigError

if TYPE_CHECKING:
    from speechcls.journal import Journal

Resume = Annotated[
    bool,
    option("--resume", help="Go on where a run into the same output was stopped.", panel=OUTPUT),
]


@contextmanager
def open_resumable(
    output: Path | None,
    resume: bool,
    models: Sequence[Path],
    messages: Messages,
    settings: Mapping[str, Any],
) -> Iterator["Journal"]:
    """Yield the journal of a run, which stays when the block raises; without output, an empty one.

    Parameters
    ----------
    output : file or folder; None: there is none that a run could go on with
    models : that give the results
    settings : others that the results depend on
    """
    from speechcls.artifact.fingerprint import fingerprint_of
    from speechcls.journal import SUFFIX, Journal, open_journal

    is_stream = output is not None and output.exists() and not (output.is_file() or output.is_dir())
    if output is None or is_stream:
        if resume:
            raise ConfigError("needs an output file, and recordings that are files", field="resume")
        yield Journal()
        return
    named = output if output.name.strip(".") else output.resolve()
    path = named.with_name(named.name + SUFFIX)
    if path.exists() and not resume:
        messages.warn(f"{path}: of a run that was stopped; begun anew, since --resume is not given")
    elif resume and not path.exists():
        messages.note(f"{path}: not there, so that this begins anew")
    given = {name: value for name, value in settings.items() if value is not None}
    about = {"speechcls": __version__, "models": " ".join(map(fingerprint_of, models)), **given}

    def say_before(n_items: int) -> None:
        messages.note(f"{n_items} that were done before are taken from {path}")

    with open_journal(path, about, resume, say_before) as journal:
        try:
            yield journal
        except BaseException as error:
            if journal.n_items and not isinstance(error, ConfigError):
                with suppress(OSError):  # of a terminal that was closed
                    messages.note(
                        f"{path} keeps the {journal.n_items} that are done; the same command with"
                        " --resume goes on"
                    )
            raise
