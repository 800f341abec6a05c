"""A search for settings: many trainings on the same clips, each with settings of its own."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from speechcls.artifact.format import ONNX
from speechcls.artifact.manifest import read_file
from speechcls.config import SearchConfig
from speechcls.data.corpus import Corpus
from speechcls.distributed.group import joined
from speechcls.errors import SpeechclsError
from speechcls.experiments.search_journal import (
    CHOICE,
    ERROR,
    FAILED,
    FINISHED,
    INDEX,
    NOTE,
    PRUNED,
    RIGHT,
    SearchJournal,
    SearchWorker,
    check_search_place,
    import_optuna,
    open_search,
)
from speechcls.experiments.search_space import (
    Choice,
    SearchSpace,
    check_archs,
    choose,
    space_around,
)
from speechcls.layouts.examples import Dataset
from speechcls.parallel import default_jobs
from speechcls.training.checkpoint import Checkpoint, identify
from speechcls.training.loop import choose_device
from speechcls.training.optimisation import Epoch
from speechcls.training.plan import (
    Callbacks,
    Data,
    TrainPlan,
    find_clips,
    ignore,
    prepare,
    read_corpus,
)
from speechcls.training.publish import predict_validation
from speechcls.training.run import TrainResult, train_on_corpus
from speechcls.training.settings import Sections, TrainSettings

if TYPE_CHECKING:
    from optuna.trial import Trial

_UNPRUNED = 0.25
"""Fraction of its epochs in which no trial is pruned: fresh weights take longer to learn anything
than trained ones do."""
OUT_OF_TIME, INTERRUPTED = "out of time", "interrupted"
"""What ends a trial whose settings are to be tried again."""


@dataclass(frozen=True)
class TrialEnd:
    """A trial that has ended."""

    index: int
    state: str
    """``finished``, ``pruned`` or ``failed``."""
    choice: Choice
    score: float | None = None
    """Balanced accuracy on the validation clips, of the saved model; None where there is none."""
    error: str = ""
    """Why it failed."""


@dataclass(frozen=True)
class SearchCallbacks:
    """Callbacks; each does nothing by default."""

    on_dataset: Callable[[Dataset], None] = ignore
    """When it is known which clips there are, before they are read."""
    on_clip: Callable[[], None] = ignore
    """After each clip that is read."""
    on_start: Callable[[TrainPlan, int], None] = ignore
    """With the training of the default settings, and the number of trials that were there."""
    on_claim: Callable[[int, Choice], None] = ignore
    """Before each trial, with its index and its settings."""
    on_fraction: Callable[[float], None] = ignore
    """After each step, with the fraction of the trial's epochs that is done."""
    on_trial: Callable[[TrialEnd], None] = ignore
    """After each trial."""
    on_warning: Callable[[str], None] = ignore
    """With what the user should know."""

    def of_trials(self) -> "SearchCallbacks":
        """Return those that tell of trials, also of a process beside the main one."""
        return SearchCallbacks(
            on_claim=self.on_claim, on_trial=self.on_trial, on_warning=self.on_warning
        )


class _OutOfTime(Exception):
    """The time of the search is over."""


class _Corpora:
    """The clips of a data set, which are read once for each window."""

    def __init__(self) -> None:
        self._read: dict[tuple[float | None, int], Corpus] = {}

    def __call__(
        self,
        dataset: Dataset,
        settings: TrainSettings,
        jobs: int,
        verify: bool,
        callbacks: Callbacks,
    ) -> Corpus:
        """Return them; as ``training.plan.read_corpus``."""
        duration_s, n_spoken = settings.duration_s, settings.training.n_spoken
        if (duration_s, n_spoken) not in self._read:
            corpus = read_corpus(dataset, settings, jobs, verify, callbacks)
            for window_s in (duration_s, corpus.features.duration_s):
                self._read[window_s, n_spoken] = corpus
        corpus = self._read[duration_s, n_spoken]
        window = {"duration_s": corpus.features.duration_s}
        features = settings.features.replaced(window)
        return dataclasses.replace(corpus, features=features, warnings=list(corpus.warnings))


class SearchEnd(NamedTuple):
    """Where a search is, and what ended it before all trials were done."""

    folder: Path
    why: str
    """``OUT_OF_TIME``, ``INTERRUPTED`` on Ctrl-C, or nothing where all are done or under way."""


def search(
    data: Data,
    given: Sections,
    out: Path | None = None,
    archs: Sequence[str] = (),
    config: SearchConfig | None = None,
    *,
    device: str = "auto",
    jobs: int | None = None,
    force: bool = False,
    callbacks: SearchCallbacks | None = None,
) -> SearchEnd:
    """Try settings around those that are given, which stay as they are, until all trials are done.

    What the trials came to is in ``out``, for ``search_result.conclude``. The same call goes on
    with a search that was ended, and shares one that is running.

    Processes that torchrun has started share it too, and return when all trials have ended. The
    main one begins it, and alone calls back what is not of a trial.

    Parameters
    ----------
    data : a folder, a manifest or several, read as ``given`` says, or a data set read before
    given : settings by section, as of a config file
    out : folder of the search; None: ``tuning/<data>``
    archs : architectures to choose from; none: every one, unless it is given

    Raises
    ------
    ConfigError, DatasetError
        When a setting is impossible, the data set cannot be trained on, ``out`` holds a search with
        other settings or data, or Optuna is not installed.
    ArtifactError
        When ``out`` is taken or cannot be written, or the model to start from cannot be loaded.
    TrainingError
        When another process is gone.
    """
    check_archs(archs, given)
    import_optuna()
    config, callbacks = config or SearchConfig(), callbacks or SearchCallbacks()
    deadline, jobs = time.monotonic() + 60 * config.minutes, jobs or default_jobs()
    with joined() as group:
        asked = _Asked(data, given, out, archs, choose_device(device, group.place), jobs, force)
        # The others find in the cache what the main process has read, and the search begun.
        first = group.in_turn(partial(_begin, asked, callbacks), group.is_main)
        rest = group.in_turn(partial(_begin, asked, SearchCallbacks()), not group.is_main)
        begun = first or rest
        assert begun is not None
        told = callbacks if group.is_main else callbacks.of_trials()
        run = partial(_run, begun, asked, config.trials, deadline, told)
        ends = group.gather(group.in_turn(run, True))
    return SearchEnd(begun.journal.folder, next(filter(None, ends), ""))


class _Asked(NamedTuple):
    """What a search is asked for; the arguments of ``search``."""

    data: Data
    given: Sections
    out: Path | None
    archs: Sequence[str]
    device: torch.device
    jobs: int
    force: bool


class _Begun(NamedTuple):
    """A search that has begun, for one of its processes."""

    journal: SearchJournal
    plan: TrainPlan
    """Of the default settings."""
    space: SearchSpace
    dataset: Dataset
    corpora: _Corpora


def _begin(asked: _Asked, callbacks: SearchCallbacks) -> _Begun:
    """Read the data and begin the search, or go on with it; refuse all that can be refused."""
    given, archs = asked.given, asked.archs
    base = {name: dict(fields) for name, fields in given.items()}
    if archs:
        base["network"] = base.get("network", {}) | {"arch": archs[0]}
    settings, corpora = TrainSettings.from_sections(base), _Corpora()
    dataset = find_clips(asked.data, settings.data, asked.jobs)
    out = asked.out or Path("tuning", dataset.title)
    check_search_place(out)
    reading = Callbacks(
        on_dataset=callbacks.on_dataset, on_clip=callbacks.on_clip, on_warning=callbacks.on_warning
    )
    plan = prepare(dataset, settings, asked.device, asked.jobs, False, reading, corpora)
    space = space_around(plan, base if len(archs) == 1 else given, archs)
    about = _about(plan, given, archs)
    journal = open_search(out, about, space.default(plan.settings), asked.force)
    callbacks.on_start(plan, journal.n_ended())
    return _Begun(journal, plan, space, dataset, corpora)


def _run(
    begun: _Begun, asked: _Asked, n_trials: int, deadline: float, callbacks: SearchCallbacks
) -> str:
    """Run trials in this process; return what ended it before all were done."""
    seed = begun.plan.settings.training.seed
    with SearchWorker(begun.journal, seed, callbacks.on_warning) as worker:
        return _Runner(begun, worker, asked, deadline, callbacks).run_all(n_trials)


def _about(plan: TrainPlan, given: Sections, archs: Sequence[str]) -> dict[str, Any]:
    """Return what all trials of a search have in common, JSON-ready."""
    return {
        "settings": json.loads(json.dumps(given)),
        "architectures": list(archs),
        "data": identify(plan.settings, plan.corpus, str(plan.device)).data["sha256"],
    }


@dataclass(frozen=True)
class _Runner:
    """Runs trials of a search in this process."""

    search: _Begun
    worker: SearchWorker
    asked: _Asked
    deadline: float
    """As of ``time.monotonic``."""
    callbacks: SearchCallbacks

    def run_all(self, n_trials: int) -> str:
        """Run trials until there are so many, of all processes; return what ended it earlier."""
        try:
            while time.monotonic() < self.deadline:
                trial = self.worker.claim(n_trials, lambda trial: choose(trial, self.search.space))
                if trial is None:
                    return ""
                self.run(trial)
        except KeyboardInterrupt:
            return INTERRUPTED
        return OUT_OF_TIME

    def run(self, trial: "Trial") -> None:
        """Train with the settings of a trial, and keep what it came to.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C; the settings are to be tried again then.
        """
        optuna, index = import_optuna(), trial.user_attrs[INDEX]
        self.callbacks.on_claim(index, trial.user_attrs[CHOICE])
        try:
            score = self._train_in_place(trial)
        except optuna.TrialPruned:
            self._end(trial, PRUNED)
        except _OutOfTime:
            self.worker.give_back(trial, OUT_OF_TIME)
        except KeyboardInterrupt:
            self.worker.give_back(trial, INTERRUPTED)
            raise
        except (SpeechclsError, MemoryError, RuntimeError) as error:  # the last are those of torch
            text = str(error) or type(error).__name__
            trial.set_user_attr(ERROR, text.partition("\n")[0])
            self._end(trial, FAILED)
        else:
            self._end(trial, FINISHED, score)

    def _end(self, trial: "Trial", state: str, score: float | None = None) -> None:
        self.search.journal.end(trial, state, score)
        attrs = trial.user_attrs
        end = TrialEnd(attrs[INDEX], state, attrs[CHOICE], score, attrs.get(ERROR, ""))
        self.callbacks.on_trial(end)

    def _train_in_place(self, trial: "Trial") -> float:
        """Return the score of a trial's model; what is unfinished stays if it is to be tried again.

        Raises
        ------
        optuna.TrialPruned, _OutOfTime
            When the training ended before its end.
        """
        checkpoint = Checkpoint(self.search.journal.place(trial.user_attrs[INDEX]))
        with checkpoint.locked():
            try:
                return self._train(trial, checkpoint)
            except (_OutOfTime, KeyboardInterrupt):
                raise
            except BaseException:
                checkpoint.remove()
                raise

    def _train(self, trial: "Trial", checkpoint: Checkpoint) -> float:
        own, asked = self.search, self.asked
        settings = TrainSettings.from_sections(own.space.sections(trial.user_attrs[CHOICE]))
        plan = prepare(own.dataset, settings, asked.device, asked.jobs, read=own.corpora)
        callbacks = self._callbacks(trial, plan.settings.training.epochs)
        # A model that is there is of these settings, by a process that was killed in telling so.
        result = train_on_corpus(
            plan, checkpoint, force=True, callbacks=callbacks, saves_interrupted=False
        )
        if result.save_error:
            raise result.save_error
        if result.fit.diverged:
            trial.set_user_attr(NOTE, result.fit.diverged)
        trial.set_user_attr(RIGHT, _right_clips(result, plan.corpus))
        return result.validation.balanced_accuracy

    def _callbacks(self, trial: "Trial", n_epochs: int) -> Callbacks:
        """Return what reports, prunes and ends a training."""
        index, pruned = trial.user_attrs[INDEX], import_optuna().TrialPruned
        n_done = 0

        def on_resume(n: int) -> None:
            nonlocal n_done
            n_done = n
            for step, score in self.search.journal.reported(index).items():
                if step <= n:
                    trial.report(score, step)

        def on_step(part: float) -> None:
            if time.monotonic() >= self.deadline:
                raise _OutOfTime
            self.callbacks.on_fraction((n_done + part) / n_epochs)

        def on_epoch(epoch: Epoch) -> None:
            nonlocal n_done
            n_done = epoch.epoch
            trial.report(epoch.validation_balanced_accuracy, epoch.epoch)
            # All others are compared with the default settings.
            if index and n_done > _UNPRUNED * n_epochs and trial.should_prune():
                raise pruned

        def warn(text: str) -> None:
            self.callbacks.on_warning(f"trial {index}: {text}")

        return Callbacks(on_step=on_step, on_epoch=on_epoch, on_resume=on_resume, on_warning=warn)


def _right_clips(result: TrainResult, corpus: Corpus) -> str:
    """Return which validation clips the saved model predicts right, packed and in hexadecimals."""
    truth = corpus.label_index[corpus.split == "validation"]
    predicted = predict_validation(read_file(result.artifact, ONNX), corpus)
    return np.packbits(predicted == truth).tobytes().hex()
