"""Write the cache of the recordings of ``signals.py`` as a speechcls makes it (see README.md)."""

import os
from pathlib import Path

import numpy as np
import soundfile
from signals import CLIPS, RATE

from speechcls.data.packing import open_store
from speechcls.layouts.examples import Example

FOLDER, WRITTEN = "/data/tones", 1_600_000_000
"""Where the recordings are, and when they were written, seconds since 1970."""


def main():
    """Keep each clip as 16-bit integers, and one again as floats that exceed full scale."""
    folder = Path(FOLDER)
    (folder / "tone").mkdir(parents=True)
    for name, pcm in CLIPS.items():
        soundfile.write(folder / "tone" / f"{name}.wav", pcm, RATE, subtype="PCM_16")
    pcm = next(iter(CLIPS.values()))
    soundfile.write(folder / "tone" / "loud.wav", pcm / np.abs(pcm).max() * 2.5, RATE, "FLOAT")
    paths = sorted(folder.glob("*/*.wav"))
    for path in paths:
        os.utime(path, (WRITTEN, WRITTEN))
    open_store(folder, [Example(path, "tone") for path in paths], RATE, jobs=1)


main()
