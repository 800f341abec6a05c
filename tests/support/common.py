"""What several unit tests share: refusals, folders, examples, corpora, and WAVs byte by byte."""

import struct
from pathlib import Path

import numpy as np
import pytest

from speechcls.config import FeatureConfig
from speechcls.data.clips import ClipStore, digest_of
from speechcls.data.corpus import Rejects, load_corpus
from speechcls.data.splits import assign_splits
from speechcls.labels import SILENCE, SPOKEN
from speechcls.layouts.examples import Example
from speechcls.layouts.load import load_dataset

LAYOUT_HELP = (
    "; put the clips into one sub-folder per word (data/yes/1.wav), or say what flat file names"
    " mean with a pattern as {label}_{speaker}_{take}, or name a manifest with columns path,label"
)
# Amplitudes that every format stores exactly.
FIVE = [0.0, 0.5, -0.5, -1.0, 0.25]
PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
# The tail of every WAVEX sub-format: 0000-0010-8000-00AA00389B71.
GUID_END = bytes.fromhex("000000001000800000aa00389b71")


def refusal(error, make, *args, **kwargs):
    """What ``make`` says is wrong, with the details, when it raises ``error``."""
    with pytest.raises(error) as raised:
        make(*args, **kwargs)
    return "\n  ".join([str(raised.value), *raised.value.details])


def touch(root, *names):
    """Make files that are never opened."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(dataset):
    """Name, label and speaker of each example."""
    return [(dataset.relative_name(e.path), e.label, e.speaker) for e in dataset.examples]


def clips(speakers, labels=("no", "yes"), n=1, split=None):
    """``n`` clips of each label by each speaker, every one of them a sound of its own."""
    return [
        Example(Path(f"{label}/{speaker}_nohash_{take}.wav"), label, speaker, split)
        for speaker in speakers
        for label in labels
        for take in range(n)
    ]


def assign(examples, digests=None, **options):
    """The splits of examples that stand for their own labels."""
    if digests is None:
        digests = [example.path.as_posix() for example in examples]
    return assign_splits(examples, [e.label for e in examples], digests, **options)


def load(root, **options):
    """The corpus of a folder with default features."""
    noise = options.pop("noise", None)
    return load_corpus(load_dataset(root, noise=noise), FeatureConfig(), **options)


def labels_of(corpus):
    """The label of each clip."""
    return [corpus.labels[i] for i in corpus.label_index]


def wav_bytes(data, bits=16, tag=PCM, rate=16_000, channels=1, size=None, extensible=False):
    """A WAV written out by hand; ``size`` is what the header claims of ``data``."""
    block = channels * bits // 8
    head = (EXTENSIBLE if extensible else tag, channels, rate, rate * block, block, bits)
    fmt = struct.pack("<HHIIHH", *head)
    if extensible:
        fmt += struct.pack("<HHIH", 22, bits, 0, tag) + GUID_END
    claimed = len(data) if size is None else size
    riff = min(20 + len(fmt) + claimed, 0xFFFF_FFFF)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", riff, b"WAVE", b"fmt ", len(fmt))
        + fmt
        + struct.pack("<4sI", b"data", claimed)
        + data
    )


def make_rejects():
    """A stranger for training, one for validation, and a cut of background."""
    rng = np.random.default_rng(0)
    clips = [rng.integers(-9_000, 9_000, n, dtype=np.int16) for n in (4_000, 20_000, 16_000)]
    lengths = np.array([len(clip) for clip in clips])
    names = [(SPOKEN, "train"), (SPOKEN, "validation"), (SILENCE, "validation")]
    examples = [
        Example(Path("made", str(i)), label, None, split) for i, (label, split) in enumerate(names)
    ]
    store = ClipStore(
        examples,
        np.concatenate(clips),
        np.cumsum(lengths) - lengths,
        lengths,
        np.ones(3, dtype=np.float32),
        [digest_of(clip) for clip in clips],
        [()] * 3,
        16_000,
        [],
    )
    return Rejects(store, rng.uniform(-0.1, 0.1, 48_000).astype(np.float32))
