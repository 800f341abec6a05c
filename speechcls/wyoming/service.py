"""What a server offers: its model, and the words to detect, as Wyoming describes them."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from speechcls import __version__
from speechcls.artifact.fingerprint import fingerprint_of
from speechcls.artifact.format import Artifact
from speechcls.runtime.detection import choose_thresholds
from speechcls.text import printable

if TYPE_CHECKING:
    from wyoming.info import Info

PROGRAM = "speechcls"
"""Name of the program, which clients show."""


@dataclass(frozen=True)
class Service:
    """A model, and which of its words are detected, for all clients."""

    artifact: Artifact
    threshold: float | None = None
    """Detection threshold of all words; None: the model's own."""
    labels: tuple[str, ...] = ()
    """Those to detect; empty: all but ``_unknown_`` and ``_silence_``."""
    language: str | None = None
    """Of the words, as ``en``; None where it is not known, and then nothing is transcribed."""

    @cached_property
    def words(self) -> list[str]:
        """Each label that is detected.

        Raises
        ------
        ConfigError
            When the model has no such label, or the threshold is impossible.
        """
        return list(choose_thresholds(self.artifact, self.threshold, self.labels))


def describe(service: Service) -> "Info":
    """Return what clients are told: a wake word for each word, and a transcriber of commands."""
    from wyoming.info import AsrModel, AsrProgram, Attribution, Info, WakeModel, WakeProgram

    version = fingerprint_of(service.artifact.path)
    author = Attribution(name=PROGRAM, url="")
    languages = [service.language] if service.language else []
    wake = WakeProgram(
        name=PROGRAM,
        attribution=author,
        installed=True,
        description="Words of a speech-command recogniser",
        version=__version__,
        models=[
            WakeModel(
                name=word,
                attribution=author,
                installed=True,
                description=printable(word),
                version=version,
                languages=languages,
                phrase=printable(word),
            )
            for word in service.words
        ],
    )
    if not service.language:
        return Info(wake=[wake])
    model = AsrModel(
        name=PROGRAM,
        attribution=author,
        installed=True,
        description=f"The words {', '.join(map(printable, service.words))}",
        version=version,
        languages=languages,
    )
    asr = AsrProgram(
        name=PROGRAM,
        attribution=author,
        installed=True,
        description="Spoken commands of one word or several, as text",
        version=__version__,
        models=[model],
    )
    return Info(wake=[wake], asr=[asr])
