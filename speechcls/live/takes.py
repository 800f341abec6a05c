"""Takes of one word by one speaker: where they lie, and a way to add one that overwrites none."""

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile

from speechcls.audio.samples import Samples, to_pcm
from speechcls.errors import ConfigError, DatasetError
from speechcls.labels import SCRAMBLED, UNCERTAIN

_CLIPPED, _N_CLIPPED = 0.98, 8
_FAINT_DB = -40.0


def reject_reason(samples: Samples, speech_s: float, duration_s: float) -> str | None:
    """Return why a take (n,) that holds ``speech_s`` of speech had better be taken again."""
    if np.count_nonzero(np.abs(samples) >= _CLIPPED) >= _N_CLIPPED:
        return "clipped; speak softer or turn the microphone down"
    loudest = np.abs(samples).max(initial=0.0)
    if 20 * np.log10(max(loudest, 1e-6)) < _FAINT_DB:
        return "too faint; come nearer or turn the microphone up"
    if speech_s > duration_s:
        return f"{speech_s:.1f} s long; speak faster or give a longer --duration"
    return None


SAMPLE_RATE = 16_000
"""Hz, of the written clips."""
_UNSAFE = re.compile(r'[/\\:*?"<>|]|^[\s.]|[\s.]$|^$')  # in a file name, on any system
_BETWEEN = "_nohash_"
_RESERVED = (SCRAMBLED, UNCERTAIN, "_background_noise_")


class Takes:
    """The clips ``<out>/<label>/<speaker>_nohash_<take>.wav``.

    Raises
    ------
    ConfigError
        When label or speaker cannot name a file.
    """

    def __init__(self, out: Path, label: str, speaker: str) -> None:
        for what, name in (("label", label), ("speaker", speaker)):
            if _UNSAFE.search(name) or not name.isprintable() or len(name.encode()) > 200:
                raise ConfigError(f"{what} {name!r}: cannot name a file; spell it in letters")
        if label in _RESERVED:
            raise ConfigError(f"label {label}: is reserved; choose another")
        if _BETWEEN in speaker:
            raise ConfigError(f"speaker {speaker}: {_BETWEEN} cannot be in it; choose another")
        self.folder = out / label
        self._start = f"{speaker}{_BETWEEN}"

    def next_number(self) -> int:
        """Return the number after the highest take that is there, of whatever format."""
        names = self.folder.iterdir() if self.folder.is_dir() else ()
        taken = [path.stem.removeprefix(self._start) for path in names if self._is_mine(path)]
        return 1 + max((int(number) for number in taken if number.isdecimal()), default=-1)

    def _is_mine(self, path: Path) -> bool:
        return path.name.startswith(self._start)

    def write(self, samples: Samples) -> Path:
        """Write ``samples`` (n_samples,) at ``SAMPLE_RATE`` as the next take, whole or not at all.

        Raises
        ------
        DatasetError
            When that is not possible.
        """
        part = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=self.folder, prefix=".", suffix=".part", delete=False
            ) as file:
                part = Path(file.name)
                part.chmod(0o644)
                soundfile.write(file, to_pcm(samples), SAMPLE_RATE, subtype="PCM_16", format="WAV")
                file.flush()
                os.fsync(file.fileno())
            return self._publish(part)
        except (OSError, soundfile.SoundFileError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise DatasetError(
                f"{self.folder}: take not written ({reason}); choose another --out"
            ) from error
        finally:
            if part is not None:
                with suppress(OSError):
                    part.unlink()

    def _publish(self, part: Path) -> Path:
        """Give a whole file its name; a take that another process writes meanwhile stays."""
        while True:
            path = self.folder / f"{self._start}{self.next_number()}.wav"
            try:
                path.hardlink_to(part)
            except FileExistsError:
                continue
            return path
