"""What a search came to: its trials, the best model, and whether its gain is more than luck."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechcls.artifact.format import CONFIG, Artifact
from speechcls.artifact.store import load_artifact, load_split, read_metrics
from speechcls.errors import TrainingError
from speechcls.evaluation.metrics import Right
from speechcls.evaluation.significance import Contender, Pair, compare
from speechcls.experiments.search_journal import (
    CHOICE,
    CONFIG_FILE,
    ENDED,
    ERROR,
    FAILED,
    FINISHED,
    MODEL,
    NOTE,
    PRUNED,
    RIGHT,
    SearchJournal,
    import_optuna,
    was_killed,
)
from speechcls.experiments.search_space import Choice
from speechcls.files import write_atomic, write_folder_atomic
from speechcls.training.settings import TrainSettings, read_config

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_FEWEST = 4
"""Finished trials from which on the importance of a setting is more than a guess."""
UNFINISHED = "unfinished"
"""State of settings whose trial runs in another process, or is to be run again."""


@dataclass(frozen=True)
class TrialRow:
    """What a trial came to."""

    trial: int
    state: str
    """``finished``, ``pruned``, ``failed`` or ``unfinished``."""
    balanced_accuracy: float | None
    """On the validation clips: of the model, or the best so far of an epoch; None before one."""
    n_epochs: int
    duration_s: float | None
    choice: Choice
    """The settings that the search chose."""
    note: str = ""


@dataclass(frozen=True)
class Importance:
    """How much of the differences between the scores of trials comes from one setting."""

    setting: str
    ratio: float
    """Of the settings of these trials together 1."""
    n_trials: int
    """Finished trials that had the setting."""


@dataclass(frozen=True)
class SearchResult:
    """The trials of a search, and its best model."""

    rows: tuple[TrialRow, ...]
    best: TrialRow
    default: TrialRow
    """The trial with the default settings."""
    gain: Pair | None
    """The best model, second, against that of the default settings; None where either is both."""
    n_compared: int
    """Trials that could have been the best, beside that of the default settings."""
    importance: tuple[Importance, ...]
    model: Path
    config: Path
    """The settings of the best model, as a config file."""


def conclude(folder: Path) -> SearchResult:
    """Write the best model of a search and its settings; return what all trials came to.

    Trials may be unfinished; when more have ended, it is called again.

    Raises
    ------
    TrainingError
        When no trial came to a model, with a line for each that ended.
    ArtifactError
        When the model of a trial is damaged or missing.
    OSError
        When the best one cannot be written.
    """
    journal = SearchJournal(folder)
    with journal.lock:
        attempts = journal.attempts()
        rows = {index: _row(index, trials) for index, trials in attempts.items()}
        finished = [row for row in rows.values() if row.state == FINISHED]
        if not finished:
            lines = [f"trial {row.trial}: {row.note or row.state}" for row in rows.values()]
            raise TrainingError(
                f"{folder}: no trial has come to a model; allow more time, or see what ended them",
                lines,
            )
        best = choose_best(finished)
        artifact = load_artifact(journal.place(best.trial))
        _write_best(artifact, folder)
    scored = [row for row in rows.values() if row.state in (FINISHED, PRUNED) and row.trial]
    gain, default = None, rows[0]
    if default.state == FINISHED and best.trial:
        first, second = (
            _right_by_clip(
                load_artifact(journal.place(index)), attempts[index][-1].user_attrs[RIGHT]
            )
            for index in (0, best.trial)
        )
        speakers = {row.digest: row.speaker for row in load_split(artifact)}
        gain = compare_chosen(first, second, speakers, len(scored))
    return SearchResult(
        *(tuple(rows.values()), best, default, gain, len(scored)),
        importance=tuple(_importance(journal)),
        model=folder / MODEL,
        config=folder / CONFIG_FILE,
    )


def choose_best(finished: Sequence[TrialRow]) -> TrialRow:
    """Return the trial of the highest balanced accuracy; the default settings win a tie."""
    return max(finished, key=lambda row: (row.balanced_accuracy or 0.0, -row.trial))


def _row(index: int, trials: "Sequence[FrozenTrial]") -> TrialRow:
    """Return what the trials of an index came to."""
    is_waiting = trials[-1].state.name == "WAITING"
    trial = trials[-2] if is_waiting and len(trials) > 1 else trials[-1]
    attrs, scores = trial.user_attrs, trial.intermediate_values
    states = {"COMPLETE": FINISHED, "PRUNED": PRUNED, "FAIL": FAILED}
    note = attrs.get(ERROR) or attrs.get(NOTE) or attrs.get(ENDED) or ""
    return TrialRow(
        index,
        UNFINISHED if is_waiting else states.get(trial.state.name, UNFINISHED),
        trial.value if trial.state.name == "COMPLETE" else max(scores.values(), default=None),
        max(scores, default=0),
        trial.duration.total_seconds() if trial.duration else None,
        dict(attrs.get(CHOICE, {})),
        "its process was ended" if was_killed(trial) else note,
    )


def _write_best(artifact: Artifact, folder: Path) -> None:
    """Write the best model and its settings, each whole or not at all."""
    place = folder / MODEL
    if read_metrics(place) != read_metrics(artifact.path):
        files = (path for path in artifact.path.iterdir() if path.is_file())
        write_folder_atomic(place, {path.name: path.read_bytes() for path in files})
    settings = TrainSettings.from_sections(read_config(artifact.path / CONFIG))
    write_atomic(folder / CONFIG_FILE, settings.to_toml().encode())


def _right_by_clip(artifact: Artifact, packed: str) -> dict[str, bool]:
    """Return whether a model is right, by the digest of each validation clip."""
    digests = [row.digest for row in load_split(artifact) if row.split == "validation"]
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(packed), dtype=np.uint8))
    return dict(zip(digests, bits[: len(digests)].astype(bool).tolist(), strict=True))


def compare_chosen(
    first: Mapping[str, bool],
    second: Mapping[str, bool],
    speakers: Mapping[str, str],
    n_compared: int,
) -> Pair:
    """Return the default model and the best one on the validation clips that both had.

    Its ``p_adjusted`` is corrected for the choice of the best of so many trials (Bonferroni): by
    chance alone one of them wins so often. Cuts of background are not the same clips where the
    windows differ, and are left out then.

    Parameters
    ----------
    first, second : whether the default model and the best one are right, by the clip
    speakers : of each clip, empty where not known
    n_compared : trials that could have been the best
    """
    clips = [clip for clip in first if clip in second]
    rights: list[Right] = [np.array([[own[clip] for clip in clips]]) for own in (first, second)]
    contenders = [Contender("default", rights[0]), Contender("best", rights[1])]
    [pair] = compare(contenders, [speakers[clip] for clip in clips]).pairs
    return dataclasses.replace(pair, p_adjusted=min(1.0, n_compared * pair.p))


def _importance(journal: SearchJournal) -> list[Importance]:
    """Return the importance of each setting, the largest first; none after very few trials.

    Those of a network are compared among the trials that chose it.
    """
    finished = [t for t in journal.study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    every = set().union(*(t.params for t in finished))
    common = {name for name in every if all(name in t.params for t in finished)}
    found = _ratios(journal, sorted(common), finished)
    with_all = [t for t in finished if every <= t.params.keys()]
    if every > common:
        own = _ratios(journal, sorted(every), with_all)
        found += [each for each in own if each.setting not in common]
    return sorted(found, key=lambda each: -each.ratio)


def _ratios(
    journal: SearchJournal, names: Sequence[str], trials: Sequence[Any]
) -> list[Importance]:
    """Return the importance of settings that all of some trials have."""
    if len(trials) < _FEWEST or len({t.value for t in trials}) == 1:
        return []
    optuna = import_optuna()
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    ratios = optuna.importance.get_param_importances(
        journal.study, evaluator=evaluator, params=list(names)
    )
    return [Importance(name, float(ratio), len(trials)) for name, ratio in ratios.items()]
