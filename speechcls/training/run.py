"""One training from a data set to a saved model: read, build, fit, export, score, save."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from speechcls.artifact.calibration import Calibration
from speechcls.artifact.format import Artifact
from speechcls.artifact.store import check_can_save
from speechcls.config import MODELS, DataConfig
from speechcls.data.corpus import Corpus, load_corpus
from speechcls.data.reviewed import add_reviewed
from speechcls.data.segments import segment
from speechcls.errors import (
    ArtifactError,
    ConfigError,
    DatasetError,
    SpeechclsError,
    TrainingError,
)
from speechcls.evaluation.metrics import Scores
from speechcls.labels import SILENCE, UNKNOWN, label_indices
from speechcls.layouts.examples import Dataset
from speechcls.layouts.load import load_dataset
from speechcls.networks.load import find_other_words, load_backbone
from speechcls.networks.recogniser import Recogniser, build_recogniser
from speechcls.networks.size import count_parameters, fit_size
from speechcls.networks.zoo import feature_kind
from speechcls.parallel import default_jobs
from speechcls.synthesis.rejects import make_rejects
from speechcls.training.checkpoint import Checkpoint, identify
from speechcls.training.loop import choose_device, fit
from speechcls.training.optimisation import Epoch, FitResult
from speechcls.training.publish import (
    calibrate_trained,
    check_exportable,
    favour_words,
    save_trained,
    save_with_fallback,
)
from speechcls.training.settings import FEW_CLIPS, Sections, TrainSettings

_N_COMPARED = 100
"""Clips of a label that are compared with the words that a model knows."""

ReadCorpus = Callable[[Dataset, TrainSettings, int, bool, "Callbacks"], Corpus]
"""Returns the clips of a data set; its parameters are those of ``read_corpus``."""


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


@dataclass(frozen=True)
class TrainResult:
    """A trained and saved model."""

    artifact: Artifact
    """Where it is, its features, network and labels."""
    validation: Scores
    """Of the saved model on the validation clips; optimistically biased by the choice of epoch."""
    fit: FitResult
    """The epochs, the best of them, and whether the training was interrupted."""
    calibration: Calibration | None = None
    """Thresholds, and false alarms in other sounds; None of a closed model."""
    save_error: ArtifactError | None = None
    """Error of saving to ``out``; the model is then in the system's temporary folder."""


def train(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Dataset,
    settings: TrainSettings | Sections | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    device: str = "auto",
    jobs: int | None = None,
    force: bool = False,
    resume: bool = False,
    verify: bool = False,
    callbacks: Callbacks | None = None,
) -> TrainResult:
    """Train a model on a data set and save it.

    Everything that can be refused is refused before the first epoch. Ctrl-C (``KeyboardInterrupt``)
    ends the training early and saves the best model so far. Until its end the state of the training
    is kept beside ``out``, from where the same call goes on, on the CPU to the same weights.

    Parameters
    ----------
    data : a folder, a manifest or several, read as ``settings`` say, or a data set read before
    settings : those that differ from the defaults of the command ``train``, by section, as
        ``{"network": {"arch": "gru", "size": "tiny"}, "training": {"epochs": 10}}``
    out : folder of the model; None: ``models/<data>-<arch>``
    device : ``auto``, ``cpu``, ``cuda`` or ``mps``
    jobs : processes that decode recordings; None: one per core
    force : replace a model in ``out``, and an unfinished training of other settings or data
    resume : refuse to begin anew
    verify : decode recordings again that were packed before

    Raises
    ------
    ConfigError, DatasetError
        When a setting is impossible, or the data set cannot be trained on.
    ArtifactError
        When ``out`` is taken or cannot be written, or the model to start from cannot be loaded.
    KeyboardInterrupt
        When it came before the end of the first epoch.

    Examples
    --------
    >>> from speechcls import train
    >>> settings = {"network": {"arch": "gru", "size": "tiny"}, "training": {"epochs": 1}}
    >>> result = train(folder, settings, out=place)
    >>> result.artifact.labels, len(result.fit.history)
    (('no', 'yes', '_unknown_', '_silence_'), 1)
    """
    if not isinstance(settings, TrainSettings):
        settings = TrainSettings.from_sections(settings or {})
    callbacks, jobs = callbacks or Callbacks(), jobs or default_jobs()
    data = find_clips(data, settings.data, jobs)
    place = Path(out) if out else MODELS / f"{data.title}-{settings.network.arch}"
    checkpoint = _check_place(place, force, resume)
    with checkpoint.locked():
        plan = prepare(data, settings, device, jobs, verify, callbacks)
        return train_on_corpus(plan, checkpoint, force, callbacks, may_restart=not resume)


def prepare(
    dataset: Dataset,
    settings: TrainSettings,
    device: str = "auto",
    jobs: int = 1,
    verify: bool = False,
    callbacks: Callbacks | None = None,
    read: ReadCorpus | None = None,
) -> TrainPlan:
    """Return the training of a data set, with what was left open decided; as ``train`` does.

    Parameters
    ----------
    read : returns the clips, ready for training; None: ``read_corpus``
    """
    callbacks, read = callbacks or Callbacks(), read or read_corpus
    on = choose_device(device)
    settings, reason = settings.started(len(dataset.examples))
    settings = _choose_kind(settings)
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
    return dataclasses.replace(plan_training(corpus, settings, on), reason=reason)


def _check_place(place: Path, force: bool, resume: bool) -> Checkpoint:
    """Return the checkpoint of a model, which can be saved."""
    checkpoint = Checkpoint(place)
    if resume and not checkpoint.exists():
        raise ConfigError(f"no training of {place} is unfinished; leave it out", field="resume")
    check_can_save(place, force or checkpoint.is_replacing())
    return checkpoint


def find_clips(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Dataset,
    named: DataConfig,
    jobs: int,
) -> Dataset:
    """Return the data set of a folder or of manifests, with the reviewed events."""
    if isinstance(data, Dataset):
        found = data
    else:
        how = named.pattern, named.noise, named.columns, named.root, named.channel
        found = load_dataset(data, *how)
        found = segment(found, jobs) if named.segment else found
    return found if named.mistakes is None else add_reviewed(found, Path(named.mistakes))


def read_corpus(
    dataset: Dataset, settings: TrainSettings, jobs: int, verify: bool, callbacks: Callbacks
) -> Corpus:
    """Return the clips of a data set, ready for training."""
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
    resolved = settings.resolved(corpus.features, network)
    return TrainPlan(resolved, corpus, recogniser, device, len(known))


def train_on_corpus(
    plan: TrainPlan,
    checkpoint: Checkpoint,
    force: bool = False,
    callbacks: Callbacks | None = None,
    saves_interrupted: bool = True,
    may_restart: bool = True,
) -> TrainResult:
    """Train a planned network and save it, or else save it to the temporary folder.

    Parameters
    ----------
    checkpoint : with the place of the model, locked; its state is gone on from
    force : replace a model that is there
    saves_interrupted : whether Ctrl-C after the first epoch saves the best model so far
    may_restart : whether ``force`` replaces an unfinished training of other settings or data

    Raises
    ------
    ArtifactError
        When the model cannot be written anywhere, or the unfinished training is another one.
    TrainingError
        When the loss was not finite before there was a model to save.
    KeyboardInterrupt
        When it came before there was a model to save.
    """
    callbacks = callbacks or Callbacks()
    settings, corpus, is_replacing = plan.settings, plan.corpus, force or checkpoint.is_replacing()
    identity = identify(settings, corpus, str(plan.device))
    warnings = checkpoint.open(identity, may_replace=force and may_restart)
    callbacks.on_start(plan)
    for warning in warnings:
        callbacks.on_warning(warning)
    if checkpoint.state:
        callbacks.on_resume(len(checkpoint.state.numbers["history"]))
    try:
        result = _fit(plan, checkpoint, callbacks, saves_interrupted)
    except KeyboardInterrupt:
        if checkpoint.exists():
            callbacks.on_kept(checkpoint.folder)
        raise
    callbacks.on_save()
    save = partial(_save, plan, result, is_replacing)
    saved, error = save_with_fallback(save, checkpoint.place)
    saved = dataclasses.replace(saved, save_error=error)
    if not result.interrupted and not saved.save_error:
        checkpoint.remove()
    return saved if settings.data.closed else _calibrate(saved, corpus, callbacks)


def _calibrate(saved: TrainResult, corpus: Corpus, callbacks: Callbacks) -> TrainResult:
    """Choose the thresholds of a saved model; without them it is still one."""
    try:
        calibration = calibrate_trained(saved.artifact.path, corpus)
    except (SpeechclsError, OSError) as error:
        callbacks.on_warning(f"the thresholds are not chosen ({error}); run calibrate")
        return saved
    return dataclasses.replace(saved, calibration=calibration)


def _fit(
    plan: TrainPlan, checkpoint: Checkpoint, callbacks: Callbacks, saves_interrupted: bool
) -> FitResult:
    """Train until there is a model to save."""
    result = fit(
        plan.recogniser,
        plan.corpus,
        plan.settings.training,
        plan.device,
        callbacks.on_epoch,
        callbacks.on_step,
        freeze_feature_stats=bool(plan.settings.source),
        checkpoint=checkpoint,
        on_warning=callbacks.on_warning,
    )
    if result.diverged:
        checkpoint.remove()  # it would end there again
    if result.diverged and result.best is None:
        raise TrainingError(result.diverged)
    if result.best is None or (result.interrupted and not saves_interrupted):
        raise KeyboardInterrupt
    return result


def _save(plan: TrainPlan, result: FitResult, force: bool, folder: Path) -> TrainResult:
    """Export, score and save a trained network."""
    settings, corpus = plan.settings, plan.corpus
    artifact = Artifact(folder, settings.features, settings.network, corpus.labels, corpus.words)
    if not settings.data.closed:
        favour_words(plan.recogniser, corpus)
    device = str(plan.device)
    scores = save_trained(artifact, plan.recogniser, corpus, result, settings, device, force)
    return TrainResult(artifact, scores, result)
