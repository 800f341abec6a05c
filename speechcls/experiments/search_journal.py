"""The trials of a search in a folder: an Optuna study that several processes share.

Each trial tries the settings of an index, from 0 on, the default settings first. Settings whose
trial was ended from outside, as by a kill, are tried again under the same index.
"""

import os
import shutil
import uuid
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from speechcls.errors import ArtifactError, ConfigError, not_installed, reason_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

JOURNAL, MODEL, CONFIG_FILE = "journal.log", "model", "train.toml"
"""Names in the folder of a search: its trials, the best model, and the settings of that."""
_TRIALS, _WORKERS, _LOCK = "trials", "workers", "lock"
_NAME = "speechcls"
_ABOUT = "about"
INDEX, CHOICE, RIGHT, ENDED, ERROR, NOTE = "index", "choice", "right", "ended", "error", "note"
"""What is kept of a trial: the index and the chosen values of its settings, which validation clips
are right, what ended it from outside, why it failed, and what else is to be known of it."""
FINISHED, PRUNED, FAILED = "finished", "pruned", "failed"
"""How a trial ends by itself; a finished one has a model."""
_STATES = {FINISHED: "COMPLETE", PRUNED: "PRUNED", FAILED: "FAIL"}
"""What Optuna calls it."""
_WORKER = "worker"
_KILLS_MAX = 3
"""Processes that may be killed in trying some settings, which may be what kills them."""
_N_STARTUP = 5
"""Trials that end before one is pruned."""


def import_optuna() -> Any:
    """Return the package Optuna, which tells nothing by itself.

    Raises
    ------
    ConfigError
        When it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(not_installed("optuna", "tune")) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class SearchJournal:
    """The trials of a search, read from its folder and written there at once.

    Attributes
    ----------
    folder : of the search
    study : Optuna's, for what needs no lock
    """

    def __init__(self, folder: Path) -> None:
        import filelock

        self.folder = folder
        # The system releases it when a process ends, however it ends; Optuna's own lock stays.
        self.lock = filelock.FileLock(folder / _LOCK)
        with self.lock:
            _cut_torn_line(folder / JOURNAL)
            try:
                self.study = self._open()
            except (AssertionError, LookupError, TypeError, ValueError) as error:
                raise ArtifactError(
                    f"{folder / JOURNAL}: damaged, or not of a search ({reason_of(error)}); move"
                    f" {folder} away to begin anew"
                ) from error

    def _open(self) -> "Study":
        optuna, path = import_optuna(), str(self.folder / JOURNAL)
        backend = optuna.storages.journal.JournalFileBackend(path, lock_obj=self.lock)
        study: Study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name=_NAME,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_N_STARTUP),
            load_if_exists=True,
        )
        return study

    def changed(self, about: Mapping[str, Any]) -> list[str]:
        """Return in what a search differs from the one that is there; nothing if there is none."""
        there = self.study.user_attrs.get(_ABOUT, about)
        return [name for name in about if there.get(name) != about[name]]

    def begin(self, about: Mapping[str, Any], default: Mapping[str, Any]) -> None:
        """Begin the search, unless it has begun.

        Parameters
        ----------
        about : all that its trials have in common, JSON-ready, by name
        default : what the first trial chooses
        """
        with self.lock:
            if not self.attempts():
                self.study.enqueue_trial(dict(default), user_attrs={INDEX: 0})
            if _ABOUT not in self.study.user_attrs:
                self.study.set_user_attr(_ABOUT, dict(about))

    def end(self, trial: "Trial", state: str, score: float | None) -> None:
        """Keep how a trial ended, which is ``FINISHED`` with a score, ``PRUNED`` or ``FAILED``."""
        states = import_optuna().trial.TrialState
        self.study.tell(trial, score, state=states[_STATES[state]])

    def n_ended(self) -> int:
        """Return the number of trials that ended by themselves."""
        last = [trials[-1] for trials in self.attempts().values()]
        return sum(trial.state.is_finished() for trial in last)

    def reported(self, index: int) -> dict[int, float]:
        """Return the validation scores of an index by epoch, of all of its trials."""
        trials = self.attempts()[index]
        return {n: score for t in trials for n, score in t.intermediate_values.items()}

    def attempts(self) -> "dict[int, list[FrozenTrial]]":
        """Return the trials of each index, the last one last."""
        found: dict[int, list[FrozenTrial]] = {}
        for trial in self.study.get_trials(deepcopy=False):
            if INDEX in trial.user_attrs:
                found.setdefault(trial.user_attrs[INDEX], []).append(trial)
        return dict(sorted(found.items()))

    def place(self, index: int) -> Path:
        """Return where the model of an index is."""
        return self.folder / _TRIALS / f"{index:03}"


class SearchWorker:
    """A process that runs trials; while it lives no other one takes over its trial."""

    def __init__(
        self, journal: SearchJournal, seed: int, on_warning: Callable[[str], None]
    ) -> None:
        self._journal, self._seed, self._on_warning = journal, seed, on_warning
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._alive = _worker_lock(journal.folder, self._name)

    def __enter__(self) -> Self:
        self._alive.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._alive.release()
        Path(self._alive.lock_file).unlink(missing_ok=True)

    def claim(
        self, n_trials: int, choose: "Callable[[Trial], Mapping[str, Any]]"
    ) -> "Trial | None":
        """Return a trial of the next settings; None where all are tried, or being tried.

        Its choice depends on the seed, its index and the trials that have ended alone.

        Parameters
        ----------
        n_trials : of the search, by all of its processes
        choose : chooses the settings of a trial
        """
        journal = self._journal
        waiting = import_optuna().trial.TrialState.WAITING
        with journal.lock:
            self._release_stale()
            last = [trials[-1] for trials in journal.attempts().values()]
            if sum(trial.state != waiting for trial in last) >= n_trials:
                return None
            journal.study.sampler = _make_sampler(self._seed, len(last))
            trial: Trial = journal.study.ask()
            trial.set_user_attr(_WORKER, self._name)
            if INDEX not in trial.user_attrs:
                trial.set_user_attr(INDEX, len(last))
            trial.set_user_attr(CHOICE, dict(choose(trial)))
            return trial

    def give_back(self, trial: "Trial", why: str) -> None:
        """End a trial whose settings are to be tried again."""
        with self._journal.lock:
            trial.set_user_attr(ENDED, why)
            self._try_again(trial)

    def _release_stale(self) -> None:
        """End the trials of processes that are gone, and have their settings tried again."""
        states = import_optuna().trial.TrialState
        for trial in self._journal.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            if _is_alive(self._journal.folder, trial.user_attrs.get(_WORKER)):
                continue
            if (index := trial.user_attrs.get(INDEX)) is None:  # killed before it had settings
                self._journal.study.tell(trial.number, state=states.FAIL)
                continue
            kills = sum(was_killed(each) for each in self._journal.attempts()[index])
            if kills + 1 < _KILLS_MAX:
                self._on_warning(f"trial {index}: its process was ended; it is tried again")
                self._try_again(trial)
            else:
                self._on_warning(f"trial {index}: its process was ended {kills + 1} times")
                self._journal.study.tell(trial.number, state=states.FAIL)

    def _try_again(self, trial: "Trial | FrozenTrial") -> None:
        study, index = self._journal.study, trial.user_attrs[INDEX]
        if self._journal.attempts()[index][-1].number == trial.number:
            study.enqueue_trial(dict(trial.params), user_attrs={INDEX: index})
        study.tell(trial.number, state=import_optuna().trial.TrialState.FAIL)


def was_killed(trial: "FrozenTrial") -> bool:
    """Return whether the process of a trial ended before the trial did."""
    told = trial.user_attrs.keys() & {ENDED, ERROR}
    return trial.state.name == "FAIL" and not told


def _make_sampler(seed: int, index: int) -> "BaseSampler":
    """Return what samples the settings of an index: whatever process does it, they are the same."""
    optuna = import_optuna()
    [own] = np.random.SeedSequence([seed, index]).generate_state(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler: BaseSampler = optuna.samplers.TPESampler(
            seed=int(own), multivariate=True, group=True, constant_liar=True
        )
    return sampler


def _worker_lock(folder: Path, name: str) -> Any:
    import filelock

    (folder / _WORKERS).mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(folder / _WORKERS / name, timeout=0)


def _is_alive(folder: Path, name: str | None) -> bool:
    """Return whether a worker's process is there, which holds its lock."""
    import filelock

    if name is None or not (folder / _WORKERS / name).exists():
        return False
    lock = _worker_lock(folder, name)
    try:
        with lock:
            Path(lock.lock_file).unlink(missing_ok=True)
            return False
    except filelock.Timeout:
        return True


def _cut_torn_line(journal: Path) -> None:
    """Remove the last line of a journal where its process was killed in writing it."""
    if not journal.exists():
        return
    content = journal.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)


def open_search(
    folder: Path, about: Mapping[str, Any], default: Mapping[str, Any], force: bool
) -> SearchJournal:
    """Return a search that has begun, or goes on.

    Parameters
    ----------
    about : all that its trials have in common, JSON-ready, by name
    default : what the first trial chooses
    force : replace a search with other settings or data

    Raises
    ------
    ConfigError
        When there is such a one, and no force.
    ArtifactError
        When another process is at work on it, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"{folder}: {reason_of(error)}; choose another place") from error
    journal = SearchJournal(folder)
    if changed := journal.changed(about):
        if not force:
            raise ConfigError(
                f"{folder}: holds a search with other {' and '.join(changed)}; choose another"
                " place, or use force to begin anew"
            )
        _remove_search(folder)
        journal = SearchJournal(folder)
    journal.begin(about, default)
    return journal


def check_search_place(folder: Path) -> None:
    """Refuse a place where no search can be.

    Raises
    ------
    ArtifactError
        When something else is there.
    """
    if not os.path.lexists(folder) or (folder / JOURNAL).is_file():
        return
    # The lock is there first, where another process begins the same search.
    if not folder.is_dir() or {path.name for path in folder.iterdir()} - {_LOCK}:
        raise ArtifactError(f"{folder}: exists and is not a search; choose another place")


def _remove_search(folder: Path) -> None:
    """Remove a search and its models.

    Raises
    ------
    ArtifactError
        When another process is at work on it.
    """
    if any(_is_alive(folder, path.name) for path in [*(folder / _WORKERS).glob("*")]):
        raise ArtifactError(f"{folder}: another process searches there; wait for its end")
    for name in (_TRIALS, _WORKERS, MODEL):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (JOURNAL, CONFIG_FILE):
        (folder / name).unlink(missing_ok=True)
