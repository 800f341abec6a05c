"""Every error that speechcls raises on purpose: subject, fact, next step in one line."""


class SpeechclsError(Exception):
    """Something the user can mend; its text is one line fit to be shown as it is."""


class AudioError(SpeechclsError):
    """One recording cannot be used."""


class DatasetError(SpeechclsError):
    """A folder, list or manifest of recordings cannot be used."""


class ConfigError(SpeechclsError):
    """A setting has an impossible value or an unknown name."""


class ArtifactError(SpeechclsError):
    """A trained model is missing, damaged, foreign or from a newer version."""
