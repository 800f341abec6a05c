"""Every error that speechcls raises on purpose: subject, fact, next step in one line."""

from collections.abc import Sequence


class SpeechclsError(Exception):
    """Something the user can mend; its text is fit to be shown as it is.

    Parameters
    ----------
    message : one line; it names no option of the command line, which the library does not know
    details : further lines, one for each thing that went wrong
    field : the parameter or setting that is at fault, as the library calls it; its name precedes
        the message, and a command shows the option of that name in its place
    """

    def __init__(
        self, message: str, details: Sequence[str] = (), *, field: str | None = None
    ) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.message, self.details, self.field = message, tuple(details), field


class AudioError(SpeechclsError):
    """One recording cannot be used."""


class EmptyError(AudioError):
    """A recording holds no sound at all."""


class DatasetError(SpeechclsError):
    """A folder, list or manifest of recordings cannot be used."""


class ConfigError(SpeechclsError):
    """A setting has an impossible value or an unknown name."""


class ArtifactError(SpeechclsError):
    """A trained model is missing, damaged, foreign or from a newer version."""


def printable(text: str) -> str:
    """Return text without what would move a cursor or break a page, spelled out instead."""
    return "".join(c if c.isprintable() or c in _HARMLESS else ascii(c)[1:-1] for c in text)


_HARMLESS = "\u00a0\u200c\u200d"
"""A space that does not break, and what joins letters or keeps them apart in some scripts."""
