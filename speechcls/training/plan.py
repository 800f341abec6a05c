"""What a training is before its first step: the data set read, the network built."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from speechcls.artifact.format import SNAPSHOTS
from speechcls.artifact.manifest import FILES
from speechcls.config import DataConfig, TrainConfig
from speechcls.data.clips import Cut, cut_windows
from speechcls.data.corpus import Corpus, load_corpus
from speechcls.data.reviewed import add_reviewed
from speechcls.data.segments import segment
from speechcls.errors import ConfigError, DatasetError
from speechcls.labels import SILENCE, UNKNOWN, label_indices
from speechcls.layouts.examples import Dataset
from speechcls.layouts.load import load_dataset
from speechcls.networks.load import find_other_words, load_backbone
from speechcls.networks.recogniser import Recogniser, build_recogniser
from speechcls.networks.size import count_parameters, fit_size
from speechcls.networks.zoo import feature_kind
from speechcls.storage.unpacked import is_member
from speechcls.synthesis.rejects import make_rejects
from speechcls.training.optimisation import Epoch
from speechcls.training.publish import check_exportable
from speechcls.training.settings import FEW_CLIPS, TrainSettings

_N_COMPARED = 100
"""Clips of a label that are compared with the words that a model knows."""


Data = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Dataset
"""A folder, a manifest or several, or a data set that is read already."""


def ignore(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Callbacks:
    """Callbacks; each does nothing by default."""

    on_dataset: Callable[[Dataset], None] = ignore
    """When it is known which clips there are, before they are read."""
    on_clip: Callable[[], None] = ignore
    """After each clip that is read."""
    on_start: Callable[["TrainPlan"], None] = ignore
    """When everything is read and built, before the first step."""
    on_epoch: Callable[[Epoch], None] = ignore
    """After each epoch."""
    on_step: Callable[[float], None] = ignore
    """After each step, with the fraction of the epoch that is done."""
    on_save: Callable[[], None] = ignore
    """After the last epoch, before the model is exported, scored and saved."""
    on_resume: Callable[[int], None] = ignore
    """Before the first step, with the finished epochs of the training that is gone on with."""
    on_warning: Callable[[str], None] = ignore
    """With what the user should know of the course of the training."""
    on_kept: Callable[[Path], None] = ignore
    """When the training is interrupted before there is a model, with where its state is kept."""


@dataclass(frozen=True)
class TrainPlan:
    """A training that is ready to start."""

    settings: TrainSettings
    """With all open choices resolved."""
    corpus: Corpus
    recogniser: Recogniser
    device: torch.device
    n_known: int = 0
    """Other words that the model to start from knows, which count as ``_unknown_``."""
    reason: str = ""
    """Why it starts from this model, or from nothing, where that was left open."""

    @property
    def n_parameters(self) -> int:
        """Number of trainable values."""
        return count_parameters(self.recogniser)


ReadCorpus = Callable[[Dataset, TrainSettings, int, bool, Callbacks], Corpus]
"""Returns the clips of a data set; its parameters are those of ``read_corpus``."""


def find_clips(
    data: Data,
    named: DataConfig,
    jobs: int,
) -> Dataset:
    """Return the data set of a folder or of manifests, with the reviewed events."""
    if isinstance(data, Dataset):
        found = data
    else:
        how = named.pattern, named.noise, named.columns, named.root, named.channel
        found = load_dataset(data, *how, unpacks=not named.stream_shards)
        found = segment(found, jobs) if named.segment and not named.stream_shards else found
    _check_shards(found, named)
    return found if named.mistakes is None else add_reviewed(found, Path(named.mistakes))


def _check_shards(dataset: Dataset, named: DataConfig) -> None:
    """Refuse to stream what is in no shard, or is taken apart first."""
    if not named.stream_shards:
        return
    if named.segment:
        raise ConfigError("recordings in shards are not taken apart; leave it out", field="segment")
    if not any(is_member(example.path) for example in dataset.examples):
        raise ConfigError(
            f"{dataset.source} is not in shards; make them first (see docs/SCALING.md)",
            field="stream_shards",
        )


def read_corpus(
    dataset: Dataset,
    settings: TrainSettings,
    jobs: int,
    verify: bool,
    callbacks: Callbacks,
    cut: Cut = cut_windows,
) -> Corpus:
    """Return the clips of a data set, ready for training.

    Parameters
    ----------
    cut : cuts the windows
    """
    # Built before the clips are read, so that an impossible network is refused at once.
    build_recogniser(settings.features, settings.network, range(2), settings.training.seed)
    callbacks.on_dataset(dataset)
    own, rate, config = settings.data, settings.features.sample_rate, settings.training
    words = {example.label for example in dataset.examples}
    warn = callbacks.on_warning
    made = words, rate, config.seed, warn, config.n_spoken
    rejects = None if own.closed else make_rejects(*made)
    return load_corpus(
        dataset,
        settings.features,
        settings.duration_s,
        own.commands,
        own.test_speakers,
        own.max_bad,
        jobs,
        callbacks.on_clip,
        verify,
        rejects,
        cut,
        own.buffer_clips,
    )


def _check_snapshots(training: TrainConfig, n_parameters: int = 0) -> None:
    """Refuse snapshots of epochs that there never are, or more than a model may have."""
    late = [epoch for epoch in training.snapshots if epoch > training.epochs]
    if late:
        raise ConfigError(
            f"{', '.join(map(str, late))}: no such epoch, the last one of this training is"
            f" {training.epochs}; choose from 1 to {training.epochs}, or more epochs",
            field="snapshots",
        )
    if 4 * n_parameters * len(training.snapshots) > FILES[SNAPSHOTS]:
        most = FILES[SNAPSHOTS] // (4 * n_parameters)
        raise ConfigError(
            f"{len(training.snapshots)} are too many of {n_parameters:,} parameters; at most"
            f" {most} fit into {SNAPSHOTS}",
            field="snapshots",
        )


def _choose_kind(settings: TrainSettings) -> TrainSettings:
    """Return the settings with the kind of features that suits the network, unless it is given."""
    if "kind" in settings.given:
        return settings
    kind = feature_kind(settings.network.arch)
    return dataclasses.replace(settings, features=settings.features.replaced({"kind": kind}))


def plan_training(corpus: Corpus, settings: TrainSettings, device: torch.device) -> TrainPlan:
    """Return the network for a corpus, built and ready to train.

    Parameters
    ----------
    corpus : with the features of the settings

    Raises
    ------
    ConfigError
        When the network cannot be built, or one of another package cannot be exported.
    DatasetError
        When a streaming network has no background sound.
    """
    network = settings.network
    if network.is_streaming and corpus.labels[-1] != SILENCE:
        raise DatasetError(
            "no background sound, which a streaming model needs; name a folder of it", field="noise"
        )
    if settings.size:
        network = fit_size(settings.size, corpus.features, network, len(corpus.words))
    source = settings.source
    known: tuple[str, ...] = ()
    if source and UNKNOWN in corpus.labels:
        known = find_other_words(source, corpus.words, corpus.training_samples(_N_COMPARED))
        corpus = dataclasses.replace(corpus, words=corpus.words + known)
    if device.type == "cuda":
        settings = settings.with_large_batches(int(corpus.repeats[corpus.split == "train"].sum()))
    outputs = label_indices(corpus.words, corpus.labels)
    recogniser = build_recogniser(corpus.features, network, outputs, settings.training.seed)
    if source:
        load_backbone(recogniser, source, corpus.words)
    check_exportable(network.arch, recogniser, corpus.labels)
    _check_snapshots(settings.training, count_parameters(recogniser))
    resolved = settings.resolved(corpus.features, network)
    return TrainPlan(resolved, corpus, recogniser, device, len(known))


def prepare(
    dataset: Dataset,
    settings: TrainSettings,
    device: torch.device,
    jobs: int = 1,
    verify: bool = False,
    callbacks: Callbacks | None = None,
    read: ReadCorpus = read_corpus,
) -> TrainPlan:
    """Return the training of a data set, with what was left open decided; as ``train`` does.

    Parameters
    ----------
    jobs : processes that decode recordings
    verify : decode recordings again that were packed before
    read : returns the clips, ready for training

    Raises
    ------
    ConfigError, DatasetError
        When a setting is impossible, or the data set cannot be trained on.
    """
    callbacks = callbacks or Callbacks()
    settings, reason = settings.started(len(dataset.examples))
    settings = _choose_kind(settings)
    _check_snapshots(settings.training)
    corpus = read(dataset, settings, jobs, verify, callbacks)
    trained, held_out = settings.trained_digests(), ("validation", "test")
    if n_known := sum(row.digest in trained for row in corpus.rows if row.split in held_out):
        known = f"{settings.from_model} was trained on {n_known} of the held-out clips"
        if reason and corpus.n_own > FEW_CLIPS:
            settings, reason = _choose_kind(settings.from_nothing()), known
            # Anew, from the cache: from nothing other sounds are made to be rejected.
            corpus = read(dataset, settings, jobs, False, Callbacks())
        else:
            corpus.warnings.append(f"{known}: scores on them are optimistically biased")
    return dataclasses.replace(plan_training(corpus, settings, device), reason=reason)
