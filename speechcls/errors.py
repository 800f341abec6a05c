"""Every error that speechcls raises on purpose: subject, fact, next step in one line."""

from collections.abc import Sequence


class SpeechclsError(Exception):
    """Base of all errors that a user can fix.

    Its text is one to show, but holds names as they are: ``text.printable`` spells out what a
    terminal would obey.

    Parameters
    ----------
    message : one line; it names no option of the command line, which the library does not know
    details : further lines, one for each thing that went wrong
    field : the parameter or setting at fault, as the library calls it; its name precedes the
        message, and a command shows its own option in place of the name
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


class StorageError(DatasetError):
    """A file or folder, as at an address, cannot be read or written."""


class ConfigError(SpeechclsError):
    """A setting has an impossible value or an unknown name."""


class ArtifactError(SpeechclsError):
    """A trained model is missing, damaged, not of speechcls or from a newer version."""


class ExportError(SpeechclsError):
    """A model cannot be exported, or its export does not do what it does."""


class TrainingError(SpeechclsError):
    """A training came to no model."""


class ClusterError(SpeechclsError):
    """A cluster cannot be reached or used, or what it works on cannot."""


class ServerError(SpeechclsError):
    """A server cannot listen at its address, or take another client."""


class PeerError(TrainingError):
    """Another of the processes that share a training failed, and says why."""


def not_installed(package: str, extra: str) -> str:
    """Return that an optional package is missing, and how to install it."""
    return f"{package} is not installed; run pip install 'speechcls[{extra}]'"


def reason_of(error: Exception) -> str:
    """Return what the system says went wrong, in lower case and without its number."""
    return (getattr(error, "strerror", None) or str(error)).lower()
