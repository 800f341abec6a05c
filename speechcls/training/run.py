"""One training from a data set to a saved model: read, build, fit, export, score, save."""

import dataclasses
import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from speechcls.artifact.calibration import Calibration
from speechcls.artifact.format import Artifact
from speechcls.artifact.store import check_can_save
from speechcls.config import MODELS
from speechcls.data.clips import Cut
from speechcls.data.corpus import Corpus
from speechcls.distributed.group import ALONE, Group, joined
from speechcls.distributed.machine import read_once
from speechcls.errors import (
    ArtifactError,
    ConfigError,
    DatasetError,
    PeerError,
    SpeechclsError,
    TrainingError,
)
from speechcls.evaluation.metrics import Scores
from speechcls.parallel import default_jobs
from speechcls.training.checkpoint import Checkpoint, Identity, identify
from speechcls.training.loop import choose_device, fit
from speechcls.training.optimisation import FitResult
from speechcls.training.plan import (
    Callbacks,
    Data,
    TrainPlan,
    find_clips,
    prepare,
    read_corpus,
)
from speechcls.training.publish import (
    calibrate_trained,
    favour_words,
    save_trained,
    save_with_fallback,
)
from speechcls.training.settings import Sections, TrainSettings


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
    data: Data,
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

    Processes that torchrun has started share each batch. The first of them alone reads ``out``,
    writes and calls back, and all return what it does.

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
    TrainingError
        When the loss was not finite before there was a model to save, or another process is gone.
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
    how = device, jobs or default_jobs(), force, resume, verify
    return _train(data, settings, Path(out) if out else None, *how, callbacks or Callbacks())


def _train(
    data: Data,
    settings: TrainSettings,
    out: Path | None,
    device: str,
    jobs: int,
    force: bool,
    resume: bool,
    verify: bool,
    callbacks: Callbacks,
) -> TrainResult:
    """Read the data once on each machine, then train and save a model."""
    with joined() as group, ExitStack() as held:
        told = callbacks if group.is_main else Callbacks()

        def read(cut: Cut) -> tuple[TrainPlan, Checkpoint]:
            on = choose_device(device, group.place)
            found = find_clips(data, settings.data, jobs)
            checkpoint = Checkpoint(out or MODELS / f"{found.title}-{settings.network.arch}")
            if group.is_main:
                _check_place(checkpoint, force, resume)
                held.enter_context(checkpoint.locked())
            reader = partial(read_corpus, cut=cut)
            return prepare(found, settings, on, jobs, verify, told, reader), checkpoint

        planned = read_once(group, read)
        return train_on_corpus(*planned, force, told, may_restart=not resume, group=group)


def _check_place(checkpoint: Checkpoint, force: bool, resume: bool) -> None:
    """Refuse a place where the model cannot be saved, or has no state to resume."""
    if resume and not checkpoint.exists():
        place = checkpoint.place
        raise ConfigError(f"no training of {place} is unfinished; leave it out", field="resume")
    check_can_save(checkpoint.place, force or checkpoint.is_replacing())


def train_on_corpus(
    plan: TrainPlan,
    checkpoint: Checkpoint,
    force: bool = False,
    callbacks: Callbacks | None = None,
    saves_interrupted: bool = True,
    may_restart: bool = True,
    group: Group = ALONE,
) -> TrainResult:
    """Train a planned network and save it, or else save it to the temporary folder.

    Parameters
    ----------
    checkpoint : with the place of the model, locked; its state is gone on from
    force : replace a model that is there
    saves_interrupted : whether Ctrl-C after the first epoch saves the best model so far
    may_restart : whether ``force`` replaces an unfinished training of other settings or data
    group : the processes that share each batch; only the main one reads and writes ``checkpoint``

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
    identity = identify(plan.settings, plan.corpus, str(plan.device), group.place.size)
    _require_same_data(identity, group)
    begin = partial(_open, plan, checkpoint, identity, force and may_restart, callbacks)
    is_replacing = group.in_turn(begin, group.is_main) or force
    checkpoint.share(group)
    try:
        result = _fit(plan, checkpoint, callbacks, saves_interrupted, group)
    except KeyboardInterrupt:
        if group.is_main and checkpoint.exists():
            callbacks.on_kept(checkpoint.folder)
        raise

    def publish() -> TrainResult:
        callbacks.on_save()
        save = partial(_save, plan, result, is_replacing)
        saved, error = save_with_fallback(save, checkpoint.place)
        saved = dataclasses.replace(saved, save_error=error)
        try:
            return saved if plan.settings.data.closed else _calibrate(saved, plan.corpus, callbacks)
        finally:
            if not result.interrupted and not saved.save_error:
                checkpoint.remove()

    saved = group.in_turn(publish, group.is_main)
    told = group.tell(_to_json(saved) if saved else None)
    return saved or _from_json(told, plan, result)


def _open(
    plan: TrainPlan,
    checkpoint: Checkpoint,
    identity: Identity,
    may_replace: bool,
    callbacks: Callbacks,
) -> bool:
    """Read the state that is gone on from; return whether the model that is there is its own."""
    is_replacing = checkpoint.is_replacing()
    warnings = checkpoint.open(identity, may_replace)
    callbacks.on_start(plan)
    for warning in warnings:
        callbacks.on_warning(warning)
    if checkpoint.state:
        callbacks.on_resume(len(checkpoint.state.numbers["history"]))
    return is_replacing


def _require_same_data(identity: Identity, group: Group) -> None:
    """Refuse processes that have read other clips than the main one."""
    counts = group.gather(identity.data)
    others = [rank for rank, data in enumerate(counts) if data["sha256"] != counts[0]["sha256"]]
    if others and not group.is_main:
        raise PeerError(f"{group.place.name}: has other clips than the main process")
    if others:
        ranks = ", ".join(map(str, others))
        raise DatasetError(
            f"ranks {ranks} have other clips than rank 0; give all machines the same recordings,"
            " and the same version of speechcls and its extras"
        )


def _to_json(result: TrainResult) -> dict[str, Any]:
    """Return what the main process tells the others of a saved model."""
    return {
        "path": str(result.artifact.path),
        "validation": result.validation.to_dict(),
        "calibration": result.calibration.to_dict() if result.calibration else None,
        "save_error": str(result.save_error) if result.save_error else None,
    }


def _from_json(told: dict[str, Any], plan: TrainPlan, result: FitResult) -> TrainResult:
    calibration, error = told["calibration"], told["save_error"]
    return TrainResult(
        _artifact(plan, Path(told["path"])),
        Scores.from_dict(told["validation"]),
        result,
        Calibration.from_dict(calibration) if calibration else None,
        ArtifactError(error) if error else None,
    )


def _calibrate(saved: TrainResult, corpus: Corpus, callbacks: Callbacks) -> TrainResult:
    """Choose the thresholds of a saved model; without them it is still one."""
    try:
        calibration = calibrate_trained(saved.artifact.path, corpus)
    except (SpeechclsError, OSError) as error:
        callbacks.on_warning(f"the thresholds are not chosen ({error}); run calibrate")
        return saved
    return dataclasses.replace(saved, calibration=calibration)


def _fit(
    plan: TrainPlan,
    checkpoint: Checkpoint,
    callbacks: Callbacks,
    saves_interrupted: bool,
    group: Group,
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
        group=group,
    )
    if result.diverged and group.is_main:
        checkpoint.remove()  # it would end there again
    if result.diverged and result.best is None:
        raise TrainingError(result.diverged) if group.is_main else PeerError(result.diverged)
    if result.best is None or (result.interrupted and not saves_interrupted):
        raise KeyboardInterrupt
    return result


def _artifact(plan: TrainPlan, folder: Path) -> Artifact:
    settings, corpus = plan.settings, plan.corpus
    return Artifact(folder, settings.features, settings.network, corpus.labels, corpus.words)


def _save(plan: TrainPlan, result: FitResult, force: bool, folder: Path) -> TrainResult:
    """Export, score and save a trained network."""
    settings, corpus, artifact = plan.settings, plan.corpus, _artifact(plan, folder)
    if not settings.data.closed:
        favour_words(plan.recogniser, corpus)
    device = str(plan.device)
    scores = save_trained(artifact, plan.recogniser, corpus, result, settings, device, force)
    return TrainResult(artifact, scores, result)
