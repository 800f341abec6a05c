"""Which settings a search may choose, and the settings of a training that a choice makes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from speechcls.config import SEARCHED, Span
from speechcls.errors import ConfigError
from speechcls.networks.zoo import NETWORKS, find_network
from speechcls.training.plan import TrainPlan
from speechcls.training.settings import NOTHING, SECTIONS, Sections, TrainSettings, section_of

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Choice = dict[str, Any]
"""The value of each setting that is chosen, by the name of its field."""
Allowed = Span | tuple[str, ...]
"""What may be chosen: a number, or one of some names."""
_DIGITS = 3
"""Digits of a number that is chosen: more make no difference to a training."""


@dataclass(frozen=True)
class SearchSpace:
    """The settings that are open, around those that are given, which stay as they are."""

    given: Sections
    starts: tuple[str, ...]
    """Models to start from, that of the default settings first; ``none``: fresh weights."""
    archs: tuple[str, ...]
    """Architectures to choose from, where the weights are fresh."""
    usual_s: float
    """Window that suits the clips, seconds."""

    def open_settings(self, start: str) -> dict[str, Allowed]:
        """Return what may be chosen beside the model to start from, which fixes the network."""
        names = [*(["arch"] if len(self.archs) > 1 else []), *SEARCHED]
        fixed = {name for fields in self.given.values() for name in fields}
        fixed |= {"hidden_size"} if "size" in fixed else set()
        of_network = SECTIONS["network"].__dataclass_fields__
        return {
            name: self._allowed(name)
            for name in names
            if name not in fixed and (start == NOTHING or name not in of_network)
        }

    def _allowed(self, name: str) -> Allowed:
        if name == "arch":
            return self.archs
        span = SEARCHED[name]
        if name != "duration_s":
            return span
        times = (span.low, span.high, span.step or 0.0)
        low, high, step = (round(self.usual_s * value, _DIGITS) for value in times)
        return Span(low, high, step=step)

    def default(self, settings: TrainSettings) -> Choice:
        """Return the choice that makes the default settings.

        Parameters
        ----------
        settings : those of the training with default settings, with all open choices resolved
        """
        values = {"from_model": settings.from_model}
        for config in (settings.features, settings.network, settings.training):
            values |= config.to_dict()
        return {
            name: values[name] for name in ("from_model", *self.open_settings(settings.from_model))
        }

    def sections(self, choice: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the settings of a training: those given, and those of a choice."""
        merged = {name: dict(fields) for name, fields in self.given.items()}
        for name, value in choice.items():
            section = section_of(name).removesuffix(".")
            merged.setdefault(section, {})[name] = value
        return merged


def space_around(plan: TrainPlan, given: Sections, archs: Sequence[str]) -> SearchSpace:
    """Return the space around the training with default settings.

    Starting from a model that has learnt held-out clips would win by that alone, and is not
    compared with fresh weights.

    Parameters
    ----------
    plan : that training, ready to start
    archs : architectures to choose from, where some are named

    Raises
    ------
    ConfigError
        When nothing is left to choose.
    """
    settings, corpus = plan.settings, plan.corpus
    starts: tuple[str, ...] = (settings.from_model,)
    trained = settings.trained_digests()
    is_known = any(row.digest in trained for row in corpus.rows if row.split != "train")
    if "from_model" not in given.get("training", {}) and not is_known and starts != (NOTHING,):
        starts += (NOTHING,)
    if not archs and "arch" not in given.get("network", {}):
        streaming = settings.network.is_streaming
        archs = [name for name, network in NETWORKS.items() if network.can_stream or not streaming]
    space = SearchSpace(given, starts, tuple(archs), corpus.features.duration_s)
    if len(starts) == 1 and not space.open_settings(starts[0]):
        raise ConfigError("every setting that a search chooses is given; leave some of them out")
    return space


def check_archs(archs: Collection[str], given: Sections) -> None:
    """Refuse architectures that there are not, or beside one that is given.

    Raises
    ------
    ConfigError
        Naming those that there are.
    """
    if archs and "arch" in given.get("network", {}):
        raise ConfigError("cannot be combined with arch, which is given", field="archs")
    for arch in archs:
        try:
            find_network(arch)
        except ConfigError as error:
            raise ConfigError(error.message, field="archs") from error


def choose(trial: "BaseTrial", space: SearchSpace) -> Choice:
    """Return the settings that an Optuna trial chooses."""
    start = space.starts[0]
    if len(space.starts) > 1:
        start = trial.suggest_categorical("from_model", list(space.starts))
    choice: Choice = {"from_model": start}
    for name, allowed in space.open_settings(start).items():
        choice[name] = _draw(trial, name, allowed)
    return choice


def _draw(trial: "BaseTrial", name: str, allowed: Allowed) -> Any:
    """Return what a trial chooses as a setting."""
    if not isinstance(allowed, Span):
        return trial.suggest_categorical(name, list(allowed))
    config = SECTIONS[section_of(name).removesuffix(".")]
    if isinstance(getattr(config, name), int):
        low, high, step = (round(v or 1) for v in (allowed.low, allowed.high, allowed.step))
        return trial.suggest_int(name, low, high, step=step)
    if allowed.step:
        value = trial.suggest_float(name, allowed.low, allowed.high, step=allowed.step)
        return round(value, _DIGITS)
    value = trial.suggest_float(name, allowed.low, allowed.high, log=allowed.is_log)
    return float(f"{value:.{_DIGITS}g}")
