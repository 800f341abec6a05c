"""Training of several architectures and seeds with one budget; finished models are kept."""

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from speechcls.artifact.format import METRICS
from speechcls.artifact.store import check_can_save, load_artifact, load_split, read_metrics
from speechcls.config import FeatureConfig, NetworkConfig, TrainConfig
from speechcls.data.clips import Cut
from speechcls.data.corpus import Corpus, load_corpus
from speechcls.distributed.group import joined
from speechcls.distributed.machine import read_once
from speechcls.errors import ArtifactError, ConfigError
from speechcls.layouts.examples import Dataset
from speechcls.networks.size import count_multiply_adds
from speechcls.networks.zoo import NETWORKS, feature_kind
from speechcls.training.checkpoint import Checkpoint
from speechcls.training.loop import choose_device
from speechcls.training.optimisation import Epoch
from speechcls.training.plan import Callbacks, TrainPlan, ignore, plan_training
from speechcls.training.publish import hash_data
from speechcls.training.run import train_on_corpus
from speechcls.training.settings import NOTHING, TrainSettings

_FEATURE_COST = 5_000_000
"""Approximate cost of a clip's features and augmentation, in multiply-adds."""


@dataclass(frozen=True)
class SweepRun:
    """One training of a sweep."""

    path: Path
    plan: TrainPlan

    @property
    def arch(self) -> str:
        """Name of the architecture."""
        return self.plan.settings.network.arch

    @property
    def name(self) -> str:
        """Architecture and seed."""
        return f"{self.arch}, seed {self.plan.settings.training.seed}"

    def cost(self) -> int:
        """Return the relative cost of the training."""
        features = self.plan.corpus.features
        frames = torch.zeros(1, features.n_frames, features.n_features)
        network = self.plan.recogniser.network
        was_training = network.training
        multiply_adds = count_multiply_adds(network.eval(), frames)
        network.train(was_training)
        return self.plan.settings.training.epochs * (_FEATURE_COST + multiply_adds)


@dataclass(frozen=True)
class SweepProgress:
    """Progress after a finished training."""

    run: SweepRun
    balanced_accuracy: float
    """On the validation clips."""
    number: int
    """From 1."""
    n_runs: int
    left_s: float
    """Estimated time that the other trainings will take, seconds."""


@dataclass(frozen=True)
class SweepCallbacks:
    """Callbacks; each does nothing by default."""

    on_clip: Callable[[], None] = ignore
    """After each clip that is read."""
    on_corpus: Callable[[Corpus], None] = ignore
    """When all clips are read."""
    on_start: Callable[[Sequence[SweepRun], int], None] = ignore
    """With the trainings to do, and how many were done before."""
    on_fraction: Callable[[float], None] = ignore
    """After each step, with the fraction of all training that is done."""
    on_run: Callable[[SweepProgress], None] = ignore
    """After each training."""
    on_warning: Callable[[str], None] = ignore
    """With what the user should know of the course of a training."""


def train_sweep(
    dataset: Dataset,
    archs: Sequence[str],
    n_seeds: int,
    size: str,
    settings: TrainSettings,
    out: Path,
    device: str = "auto",
    jobs: int = 1,
    callbacks: SweepCallbacks | None = None,
) -> dict[str, list[Path]]:
    """Train the models that ``out`` does not hold yet; return those of each architecture by seed.

    Processes that torchrun has started share the models; all return when all are there. The main
    one alone calls ``on_clip``, ``on_corpus`` and ``on_start`` back.

    Parameters
    ----------
    size : name in ``SIZES``: each network is the largest with fewer parameters
    settings : of every training, but for architecture, size, kind of features and seed

    Raises
    ------
    ConfigError
        When an architecture is unknown, or ``out`` holds models of other settings or data.
    DatasetError, ArtifactError
        As ``speechcls.training.run.train`` does.
    TrainingError
        When another process is gone.
    KeyboardInterrupt
        On Ctrl-C; finished models are kept; another call resumes.
    """
    callbacks = callbacks or SweepCallbacks()
    if unknown := [arch for arch in archs if arch not in NETWORKS]:
        valid = ", ".join(NETWORKS)
        raise ConfigError(f"no {', '.join(unknown)}; there are {valid}", field="archs")
    # The architectures alone: nothing is made to be rejected, no weights are there before.
    own = dataclasses.replace(settings.data, closed=True)
    settings = dataclasses.replace(settings, size=size, from_model=NOTHING, source=None, data=own)
    wanted = [(arch, seed) for arch in dict.fromkeys(archs) for seed in range(n_seeds)]
    with joined() as group:

        def read(cut: Cut) -> list[SweepRun]:
            on = choose_device(device, group.place)
            corpus = _read(dataset, settings, jobs, callbacks if group.is_main else None, cut)
            return [_plan(corpus, arch, seed, settings, on, out) for arch, seed in wanted]

        runs = read_once(group, read)
        # Everything that can be refused is refused before the hours of training.
        find = partial(_find_missing, runs)
        missing = group.tell(group.in_turn(find, group.is_main))
        if group.is_main:
            callbacks.on_start([runs[i] for i in missing], len(runs) - len(missing))
        place = group.place
        own_runs = [runs[i] for i in missing[place.rank :: place.size]]
        group.in_turn(partial(_train_missing, own_runs, callbacks), True)
    return {arch: [run.path for run in runs if run.arch == arch] for arch in dict.fromkeys(archs)}


def _read(
    dataset: Dataset,
    settings: TrainSettings,
    jobs: int,
    callbacks: SweepCallbacks | None,
    cut: Cut,
) -> Corpus:
    callbacks = callbacks or SweepCallbacks()
    corpus = load_corpus(
        dataset,
        FeatureConfig(kind="log-mel"),
        commands=settings.data.commands,
        test_speakers=settings.data.test_speakers,
        jobs=jobs,
        on_clip=callbacks.on_clip,
        cut=cut,
    )
    callbacks.on_corpus(corpus)
    return corpus


def _find_missing(runs: Sequence[SweepRun]) -> list[int]:
    """Return which of the models are not there; refuse any of other settings or data."""
    return [i for i, run in enumerate(runs) if not _is_done(run)]


def _plan(
    corpus: Corpus, arch: str, seed: int, settings: TrainSettings, device: torch.device, out: Path
) -> SweepRun:
    features = dataclasses.replace(corpus.features, kind=feature_kind(arch))
    settings = dataclasses.replace(
        settings,
        features=features,
        network=NetworkConfig(arch=arch),
        training=dataclasses.replace(settings.training, seed=seed),
    )
    own = dataclasses.replace(corpus, features=features)
    return SweepRun(out / f"{arch}-seed{seed}", plan_training(own, settings, device))


def _is_done(run: SweepRun) -> bool:
    """Return whether the model exists; refuse one of other settings or data."""
    if not os.path.lexists(run.path):
        check_can_save(run.path, force=False)
        return False
    artifact, settings, corpus = load_artifact(run.path), run.plan.settings, run.plan.corpus
    metrics = read_metrics(run.path)
    try:
        training, data = TrainConfig().replaced(metrics["training"]), metrics["data"]["sha256"]
    except (KeyError, TypeError, ConfigError) as error:
        raise ArtifactError(
            f"{run.path / METRICS}: missing or damaged; move {run.path} away, to train it again"
        ) from error
    splits = {(row.digest, row.split) for row in load_split(artifact)}
    compared = (
        ("network", artifact.network, settings.network),
        ("features", artifact.features, settings.features),
        ("labels", artifact.labels, corpus.labels),
        ("training", training, settings.training),
        ("data", data, hash_data(corpus)),
        ("split", splits, {(row.digest, row.split) for row in corpus.rows}),
    )
    if other := [name for name, there, wanted in compared if there != wanted]:
        raise ConfigError(
            f"{run.path}: was made with other {' and '.join(other)}; choose another folder, or"
            " move it away"
        )
    return True


def _train_missing(runs: Sequence[SweepRun], callbacks: SweepCallbacks) -> None:
    costs = [run.cost() for run in runs]
    total, done, started = sum(costs), 0, time.monotonic()
    for number, (run, cost) in enumerate(zip(runs, costs, strict=True), start=1):

        def on_fraction(part: float, done: int = done, cost: int = cost) -> None:
            callbacks.on_fraction((done + part * cost) / total)

        balanced_accuracy = _train(run, on_fraction, callbacks.on_warning)
        done += cost
        left_s = (time.monotonic() - started) * (total - done) / done
        callbacks.on_run(SweepProgress(run, balanced_accuracy, number, len(runs), left_s))


def _train(
    run: SweepRun, on_fraction: Callable[[float], None], on_warning: Callable[[str], None]
) -> float:
    """Train and save a model; return its balanced accuracy on the validation clips."""
    n_epochs, n_done = run.plan.settings.training.epochs, 0

    def on_epoch(epoch: Epoch) -> None:
        nonlocal n_done
        n_done = epoch.epoch

    def on_step(part: float) -> None:
        on_fraction((n_done + part) / n_epochs)

    def warn(text: str) -> None:
        on_warning(f"{run.name}: {text}")

    callbacks = Callbacks(on_epoch=on_epoch, on_step=on_step, on_warning=warn)
    checkpoint = Checkpoint(run.path)
    with checkpoint.locked():
        result = train_on_corpus(run.plan, checkpoint, callbacks=callbacks, saves_interrupted=False)
    if result.fit.diverged:
        warn(f"{result.fit.diverged}; the best model until there is kept")
    if result.save_error:
        raise result.save_error
    return result.validation.balanced_accuracy
