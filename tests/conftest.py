"""What the tests share. Every recording is made here, none is downloaded.

``tone`` makes samples, ``write_wav`` puts them on disk, ``make_data`` makes a whole data set of
them; ``shared_data`` and ``speech_commands`` are real recordings, where there are some.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

# Before any test imports ONNX Runtime, as speechcls does it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # A core for each worker: threads of several workers on the same cores wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

RATE = 16_000  # Hz
NOISE_FOLDER = "_background_noise_"
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Packed clips go into a folder of the tests, not into that of who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("SPEECHCLS_CACHE", str(folder))
        yield folder


@pytest.fixture
def rng():
    """A generator of random numbers, the same in each run."""
    return np.random.default_rng(0)


@pytest.fixture
def tone():
    """``tone(frequency, seconds=1.0, rate=16_000, amplitude=0.5)``: a sine, float32 samples."""
    return make_tone


@pytest.fixture
def write_wav():
    """``write_wav(path, samples, rate=16_000, subtype="PCM_16", format=None)``: returns the path.

    Missing folders are made; the format follows the ending of the name where none is given.
    """
    return write_samples


@pytest.fixture(scope="session")
def make_data():
    """``make_data(root, labels, n, speakers=8, noise_s=0.0)``: one folder a label; returns root.

    Each label has ``n`` clips of 0.3 s named ``<speaker>_nohash_<take>.wav``, the speakers in turn
    (``speakers=0``: named ``<take>.wav``, by nobody). No two clips are alike. ``noise_s`` adds
    that many seconds of background noise.
    """
    return make_data_set


@pytest.fixture(scope="session")
def shared_data():
    """The folder of recordings beside the repository; skips where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recordings to test on: {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def speech_commands(shared_data):
    """A part of Google's Speech Commands as FLAC, with validation_list.txt; skips where absent."""
    folder = shared_data / "speech-commands"
    if not (folder / "validation_list.txt").is_file():
        pytest.skip(f"no Speech Commands to test on: {folder} is absent or has no split list")
    return folder


def make_tone(frequency, seconds=1.0, rate=RATE, amplitude=0.5):
    """Return a sine as float32 samples (round(seconds * rate),)."""
    times = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * times)).astype(np.float32)


def write_samples(path, samples, rate=RATE, subtype="PCM_16", format=None):
    """Write samples (n,) or (n, channels); return the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # An open file, since soundfile takes no name that is not UTF-8 to write to.
    kind = format or {".flac": "FLAC", ".ogg": "OGG"}.get(path.suffix.lower(), "WAV")
    with path.open("wb") as file:
        soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return path


def make_data_set(root, labels, n, speakers=8, noise_s=0.0):
    """Write ``n`` different tones a label below ``root``; return it."""
    for index, label in enumerate(labels):
        for take in range(n):
            # 300, 500, 700 ... Hz a label: what a recogniser can tell apart.
            samples = make_tone(300 + 200 * index + 2 * take, 0.3)
            name = f"s{take % speakers:02}_nohash_{take // speakers}" if speakers else f"{take}"
            write_samples(root / label / f"{name}.wav", samples)
    if noise_s:
        generator = np.random.default_rng(1)
        hiss = 0.05 * generator.standard_normal(round(noise_s * RATE), dtype=np.float32)
        write_samples(root / NOISE_FOLDER / "hiss.wav", hiss)
    return root
