"""What training takes beside the network's own steps, and beside the loop of the tutorials."""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from speechcls.config import FeatureConfig, NetworkConfig, TrainConfig
from speechcls.data.corpus import Corpus, load_corpus
from speechcls.layouts.examples import Dataset as ClipSet
from speechcls.layouts.examples import Example
from speechcls.layouts.load import load_dataset
from speechcls.networks.recogniser import Recogniser, build_recogniser, forward_mixed_precision
from speechcls.networks.zoo import feature_kind
from speechcls.training.checkpoint import Checkpoint
from speechcls.training.plan import Callbacks, plan_training
from speechcls.training.run import train_on_corpus
from speechcls.training.settings import TrainSettings

N_LABELS = 8
N_TRAINING = 640
SHARE = 10
"""Clips that train for each one that validates."""
RECIPE = TrainConfig(epochs=2, epoch_clips=1)
UNCHANGED = dataclasses.replace(
    RECIPE, speed_max=0, shift_max=0, equaliser_prob=0, reverb_prob=0, noise_prob=0,
    gain_db=0, time_masks=0, frequency_masks=0, scramble_ratio=0,
)  # fmt: skip
"""A recipe that changes no clip."""
NETWORKS = {
    "default bilstm": NetworkConfig(arch="bilstm"),
    "gru, one layer of 64": NetworkConfig(arch="gru", hidden_size=64, num_layers=1),
    "default att-bigru": NetworkConfig(),
}


def write_clips(folder: Path) -> Path:
    """Write WAVs of noise of one second, an eighth of them in each label."""
    generator = np.random.default_rng(0)
    for i in range(N_TRAINING + N_TRAINING // SHARE):
        place = folder / f"word{i % N_LABELS}" / f"{i}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(place, 0.1 * generator.standard_normal(16_000), 16_000)
    return folder


def read_corpus(dataset: ClipSet, config: NetworkConfig) -> Corpus:
    """Return the clips ready for training, one in ``SHARE + 1`` of them held out."""
    corpus = load_corpus(dataset, FeatureConfig(kind=feature_kind(config.arch)), 1.0)
    is_held_out = np.arange(len(corpus.split)) % (SHARE + 1) == 0
    return dataclasses.replace(corpus, split=np.where(is_held_out, "validation", "train"))


def bare_step(recogniser: Recogniser, batch_size: int, n_outputs: int) -> Callable[[], None]:
    """Return what does forward, backward and step on features that are there, on its device."""
    recogniser.train()
    config, device = recogniser.features.config, recogniser.feature_mean.device
    optimizer = torch.optim.AdamW(recogniser.parameters(), fused=True)
    features = torch.randn(batch_size, config.n_frames, config.n_features, device=device)
    targets = torch.randint(n_outputs, (batch_size,), device=device)

    def step() -> None:
        logits = forward_mixed_precision(recogniser, features)
        loss = nn.functional.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


@dataclasses.dataclass
class Loops:
    """The ways to train one network for an epoch; each returns seconds a clip."""

    config: NetworkConfig
    corpus: Corpus
    examples: list[Example]

    def recogniser(self) -> Recogniser:
        """Return the network, untrained."""
        return build_recogniser(self.corpus.features, self.config, range(N_LABELS), seed=0)

    def ours(self, recipe: TrainConfig) -> tuple[float, float]:
        """Return the time of training and that of validation in an epoch, as users train."""
        ends: list[float] = []
        settings = TrainSettings(training=recipe).resolved(self.corpus.features, self.config)
        plan = plan_training(self.corpus, settings, torch.device("cpu"))
        callbacks = Callbacks(on_epoch=lambda epoch: ends.append(time.perf_counter()))
        with tempfile.TemporaryDirectory() as folder:
            result = train_on_corpus(plan, Checkpoint(Path(folder, "model")), callbacks=callbacks)
        trained_s = result.fit.history[-1].duration_s  # the first epoch warms up
        return trained_s / N_TRAINING, (ends[-1] - ends[-2] - trained_s) / N_TRAINING

    def bare(self) -> float:
        """Forward, backward and step on features that are there."""
        step = bare_step(self.recogniser(), RECIPE.batch_size, N_LABELS)
        for _ in range(RECIPE.epochs):
            started = time.perf_counter()
            for _ in range(N_TRAINING // RECIPE.batch_size):
                step()
        return (time.perf_counter() - started) / N_TRAINING

    def tutorial(self) -> float:
        """Train by a Dataset that reads WAVs, librosa's features, a DataLoader with two workers."""
        recogniser = self.recogniser().train()
        optimizer = torch.optim.AdamW(recogniser.parameters())
        files = _Files(self.examples)
        files[0]  # librosa loads its parts when they are used, and not in each worker anew
        started, n_clips = time.perf_counter(), 0
        loader = DataLoader(files, RECIPE.batch_size, shuffle=True, num_workers=2)
        for features, targets in loader:
            loss = nn.functional.cross_entropy(recogniser.network(features), targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            n_clips += len(targets)
        return (time.perf_counter() - started) / n_clips


class _Files(Dataset[tuple[Tensor, int]]):
    def __init__(self, examples: list[Example]) -> None:
        self._examples = examples
        self._labels = sorted({example.label for example in examples})
        self._config = FeatureConfig()

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        example, config = self._examples[i], self._config
        samples, rate = soundfile.read(example.path, dtype="float32")
        energies = librosa.feature.melspectrogram(
            y=samples, sr=rate, n_fft=config.n_fft, win_length=config.win_length,
            hop_length=config.hop_length, n_mels=config.n_mels, fmin=config.fmin, fmax=config.fmax,
        )  # fmt: skip
        features = librosa.power_to_db(energies).T
        return torch.from_numpy(features).float(), self._labels.index(example.label)


def training(scratch: Path, n_rounds: int) -> Iterator[tuple[str, list[float], list[float], float]]:
    """Yield for each network what it takes against the bare steps, and against the tutorials.

    All in seconds a clip, the ways of each network in turns. Torch has one thread, so that with two
    cores the other one makes the batches ahead, as it does where users train small networks.
    """
    torch.set_num_threads(1)
    dataset = load_dataset(write_clips(scratch / "clips"))
    for name, config in NETWORKS.items():
        loops = Loops(config, read_corpus(dataset, config), dataset.examples)
        most = {"default bilstm": 1 / 1.5, "gru, one layer of 64": 1 / 4}.get(name)
        unchanged, recipe, validation, bare, tutorial = [], [], [], [], []
        for _ in range(n_rounds):
            bare.append(loops.bare())
            unchanged.append(loops.ours(UNCHANGED)[0])
            trained_s, validated_s = loops.ours(RECIPE)
            recipe.append(trained_s)
            validation.append(validated_s)
            if most:
                tutorial.append(loops.tutorial())
        yield f"{name}: unchanged clips / bare steps", unchanged, bare, 1.1
        yield f"{name}: recipe / bare steps", recipe, bare, 1.25
        yield f"{name}: validation / recipe", validation, recipe, 0.05
        if most:
            yield f"{name}: recipe / the tutorials' loop", recipe, tutorial, most
