"""Recorded takes of one word by one speaker, none of which overwrites another."""

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from speechcls.audio.level import CLIPPED_RATIO, clipped_ratio
from speechcls.audio.samples import Samples, to_float, to_pcm
from speechcls.audio.wav import wav_bytes
from speechcls.config import FeatureConfig
from speechcls.errors import ConfigError, DatasetError, reason_of
from speechcls.files import is_file_name, write_atomic
from speechcls.labels import NOISE_FOLDER, SCRAMBLED, SPEAKER_END, UNCERTAIN, name_take
from speechcls.live.sources import Block

SAMPLE_RATE = FeatureConfig.sample_rate
"""Hz, of the written clips."""
_KEPT_S = 20.0
"""Sound that a ``ClippingMeter`` remembers: longer than any utterance with its pauses."""
_FAINT_DB = -40.0
_RESERVED = (SCRAMBLED, UNCERTAIN, NOISE_FOLDER)


class ClippingMeter:
    """Measures clipping in a live source at its own rate: resampling blurs the flat tops."""

    def __init__(self) -> None:
        self._blocks: deque[tuple[float, Block]] = deque()
        self._end_s = 0.0  # without what was lost, as the utterances count

    def watch(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield ``blocks``, remembering the last seconds."""
        for block in blocks:
            self._blocks.append((self._end_s, block))
            self._end_s += len(block.samples) / block.rate
            while self._blocks and self._blocks[0][0] < self._end_s - _KEPT_S:
                self._blocks.popleft()
            yield block

    def clipped_ratio(self, start_s: float, end_s: float) -> float:
        """Return the fraction of samples in flat tops between two times in the source, seconds."""
        parts: list[Samples] = [np.empty(0, dtype=np.float32)]
        for block_s, block in self._blocks:
            first = max(0, round((start_s - block_s) * block.rate))
            parts.append(block.samples[first : max(0, round((end_s - block_s) * block.rate))])
        return clipped_ratio(np.concatenate(parts))


def reject_reason(
    samples: Samples, speech_s: float, duration_s: float, clipped: float = 0.0
) -> str | None:
    """Return why a take should be recorded again; None if it is good.

    Parameters
    ----------
    samples : (n,) of the take
    speech_s, duration_s : of the speech, and of the take
    clipped : fraction of samples in flat tops in the source of the take, before it was resampled
    """
    written = to_float(to_pcm(samples))  # what a check of the data set will find
    if max(clipped, clipped_ratio(written)) >= CLIPPED_RATIO:
        return "clipped; speak softer or turn the microphone down"
    loudest = np.abs(samples).max(initial=0.0)
    if 20 * np.log10(max(loudest, 1e-6)) < _FAINT_DB:
        return "too faint; come nearer or turn the microphone up"
    if speech_s > duration_s:
        return f"{speech_s:.1f} s long; speak faster, or record longer takes"
    return None


class Takes:
    """The clips ``<out>/<label>/<speaker>_nohash_<take>.wav``.

    Raises
    ------
    ConfigError
        When label or speaker cannot be part of a file name.
    """

    def __init__(self, out: Path, label: str, speaker: str) -> None:
        for field, name in (("label", label), ("speaker", speaker)):
            if not is_file_name(name):
                raise ConfigError(f"{name!r} cannot name a file; spell it in letters", field=field)
        if label in _RESERVED:
            raise ConfigError(f"{label} is reserved; choose another", field="label")
        if SPEAKER_END in speaker:
            raise ConfigError(
                f"{speaker}: {SPEAKER_END} cannot be in it; choose another", field="speaker"
            )
        self.folder = out / label
        self._speaker, self._start = speaker, f"{speaker}{SPEAKER_END}"

    def next_number(self) -> int:
        """Return the number after the highest take that exists, in any format."""
        names = self.folder.iterdir() if self.folder.is_dir() else ()
        taken = [path.stem.removeprefix(self._start) for path in names if self._is_mine(path)]
        return 1 + max((int(number) for number in taken if number.isdecimal()), default=-1)

    def _is_mine(self, path: Path) -> bool:
        return path.name.startswith(self._start)

    def write(self, samples: Samples) -> Path:
        """Write ``samples`` (n_samples,) at ``SAMPLE_RATE`` as the next take, whole or not at all.

        A take that another process writes meanwhile stays.

        Raises
        ------
        DatasetError
            When that is not possible.
        """
        content = wav_bytes(to_pcm(samples), SAMPLE_RATE)
        try:
            while True:
                path = self.folder / f"{name_take(self._speaker, self.next_number())}.wav"
                try:
                    write_atomic(path, content, overwrite=False)
                except FileExistsError:
                    if not path.exists():
                        raise  # a file is in place of the folder
                    continue
                return path
        except OSError as error:
            raise DatasetError(
                f"{self.folder}: take not written ({reason_of(error)}); choose another path"
            ) from error
