"""Words in the sound of one client, whatever format its pieces have."""

from dataclasses import dataclass

import numpy as np

from speechcls.artifact.format import Artifact
from speechcls.audio.samples import ChannelMixer, Samples, open_resampler
from speechcls.audio.wav import SampleFormat, decode_frames
from speechcls.runtime.detection import Event
from speechcls.runtime.streaming import StreamingClassifier

SUBTYPES = {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
"""Kinds of samples by their bytes, as a WAV has them: those of one byte have no sign."""
_NOTHING: Samples = np.empty(0, dtype=np.float32)


@dataclass(frozen=True)
class ChunkFormat:
    """How the samples of a piece of sound are stored."""

    rate: int
    """Hz."""
    width: int
    """Bytes of a sample."""
    n_channels: int


class StreamListener:
    """Detects words in one stream: the pieces of sound from its start to its end.

    Parameters
    ----------
    artifact : the model
    threshold, labels, eager : as ``StreamingClassifier`` has them
    """

    def __init__(
        self,
        artifact: Artifact,
        threshold: float | None,
        labels: list[str] | None,
        eager: bool,
    ) -> None:
        self._classifier = StreamingClassifier(artifact, threshold, labels, eager=eager)
        self._format: ChunkFormat | None = None
        self.n_detected = 0
        """Words so far."""
        self.time_s = 0.0
        """Seconds of sound so far."""

    def feed(self, content: bytes, format: ChunkFormat) -> list[Event]:
        """Return the words that are complete after a piece of sound.

        Parameters
        ----------
        content : whole frames
        format : of this piece; the next one may have another

        Raises
        ------
        AudioError
            When the samples are not finite after resampling.
        """
        events: list[Event] = []
        if format != self._format:
            events += self._flush()
            self._open(format)
        width, n_channels = format.width, format.n_channels
        frames = decode_frames(
            content,
            SampleFormat(SUBTYPES[width], n_channels, format.rate, width * n_channels, None),
        )
        self.time_s += len(frames) / format.rate
        events += self._classifier.feed(self._resample(self._mixer.mix(frames), False))
        self.n_detected += len(events)
        return events

    def finish(self) -> list[Event]:
        """Return the words that are open at the end of the stream; nothing can follow."""
        events = self._flush() + self._classifier.finish()
        self.n_detected += len(events)
        return events

    def _open(self, format: ChunkFormat) -> None:
        self._format = format
        self._mixer = ChannelMixer(format.n_channels)
        self._resample = open_resampler(format.rate, self._classifier.sample_rate)

    def _flush(self) -> list[Event]:
        """Return the words in the samples that the resampler of the last format holds back."""
        if self._format is None:
            return []
        return self._classifier.feed(self._resample(_NOTHING, True))
