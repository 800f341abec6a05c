"""Seeds, a small corpus of tones and a small recogniser, for the tests of training."""

import numpy as np
import torch

from speechcls.artifact.format import SplitRow
from speechcls.config import FeatureConfig, NetworkConfig, TrainConfig
from speechcls.data.corpus import Corpus
from speechcls.labels import SILENCE, label_indices
from speechcls.networks.recogniser import Recogniser, build_recogniser
from speechcls.training.loop import fit
from speechcls.training.optimisation import Epoch

FEATURES = FeatureConfig(
    sample_rate=8_000, duration_s=0.25, n_fft=256, win_length=200, hop_length=100, n_mels=20,
    n_mfcc=10, fmax=4_000.0,
)  # fmt: skip
NETWORK = NetworkConfig(arch="gru", hidden_size=8, num_layers=1, dropout=0.1)
CPU = torch.device("cpu")
# Nothing random but the order of the clips, each once.
PLAIN = {
    "epoch_clips": 1,
    "speed_max": 0.0,
    "shift_max": 0.0,
    "equaliser_prob": 0.0,
    "reverb_prob": 0.0,
    "noise_prob": 0.0,
    "gain_db": 0.0,
    "time_masks": 0,
    "frequency_masks": 0,
}


# Every random change on, dropout and an EMA too.
ALL_ON = {
    "speed_max": 0.1,
    "shift_max": 0.1,
    "equaliser_prob": 0.5,
    "equaliser_db": 6.0,
    "reverb_prob": 0.5,
    "noise_prob": 0.5,
    "gain_db": 6.0,
    "time_masks": 2,
    "frequency_masks": 2,
    "ema_decay": 0.9,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_corpus(
    words: tuple[str, ...] = ("low", "high"), labels: tuple[str, ...] = (), n_each: int = 30
) -> Corpus:
    """Return tones whose pitch is the word; the clip number is the value of the first sample.

    Each fifth clip validates, the first ones of all. Without ``labels`` the words are those.
    """
    labels = labels or words
    rng = np.random.default_rng(0)
    n, time = FEATURES.n_samples, np.arange(FEATURES.n_samples) / FEATURES.sample_rate
    word_index = np.repeat(np.arange(len(words)), n_each)
    pitch = 300.0 * (1 + word_index) * rng.uniform(0.9, 1.1, len(word_index))
    windows = 8_000 * np.sin(2 * np.pi * pitch[:, None] * time) + rng.normal(0, 50, (1, n))
    windows = windows.astype(np.int16)
    windows[:, 0] = np.arange(len(windows))
    split = np.where(np.arange(len(windows)) % 5 == 0, "validation", "train")
    noise = np.zeros(0, np.float32)
    if SILENCE in labels:
        noise = rng.integers(-900, 900, 5 * n).astype(np.float32) / np.float32(32_768)
    return Corpus(
        labels=labels,
        features=FEATURES,
        windows=windows,
        scales=np.ones(len(windows), np.float32),
        label_index=np.array(label_indices(words, labels))[word_index],
        words=words,
        word_index=word_index,
        split=split,
        repeats=np.ones(len(windows), np.int64),
        noise=noise,
        rows=[SplitRow(f"{i}", "", "", str(s), 0.0, None, 1.0, "") for i, s in enumerate(split)],
        n_own=len(windows),
        warnings=[],
        long_takes=None,
        bad=[],
    )


def build(corpus: Corpus, network: NetworkConfig = NETWORK, seed: int = 0) -> Recogniser:
    """Return an untrained recogniser of the corpus' words."""
    label_of_output = label_indices(corpus.words, corpus.labels)
    return build_recogniser(corpus.features, network, label_of_output, seed)


def train(
    corpus: Corpus, network: NetworkConfig = NETWORK, **settings: object
) -> tuple[Recogniser, list[Epoch]]:
    """Return a trained recogniser and its epochs, 8 of them unless told otherwise."""
    config = TrainConfig(**{"epochs": 8, "batch_size": 16, "epoch_clips": 1, **settings})  # type: ignore[arg-type]
    recogniser = build(corpus, network, config.seed)
    return recogniser, fit(recogniser, corpus, config, CPU).history
