"""Save a trained model even where its place refuses it, or Ctrl-C comes again."""

import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from speechcls.cli.messages import Messages
from speechcls.errors import ArtifactError

T = TypeVar("T")


def save_or_rescue(
    save: Callable[[Path], T], place: Path, messages: Messages
) -> tuple[Path, T, bool]:
    """Save to ``place``, else to the temporary folder; return where, the result, and if it failed.

    Raises
    ------
    ArtifactError
        When both places refuse.
    """
    # A second Ctrl-C must not lose what the first one promises to keep.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return place, save(place), False
    except ArtifactError as error:
        messages.error(str(error))
        refuge = Path(tempfile.mkdtemp(prefix="speechcls-"))
        try:
            return refuge / place.name, save(refuge / place.name), True
        except ArtifactError:
            refuge.rmdir()
            raise
    finally:
        signal.signal(signal.SIGINT, handler)
