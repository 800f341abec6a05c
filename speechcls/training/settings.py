"""Everything that decides what a training makes of a data set, in sections as in a config file.

The sections ``features``, ``network``, ``training`` and ``data`` hold the fields of
``FeatureConfig``, ``NetworkConfig``, ``TrainConfig`` and ``DataConfig``; ``network`` may have
``size`` instead of ``hidden_size``, and ``training`` may have ``from_model``, a model to start
from. This module does not import torch, so that settings are checked before anything heavy
is loaded.
"""

import dataclasses
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_artifact, load_split, read_metrics
from speechcls.config import (
    ADAPT,
    ADAPTED,
    RECIPE_NAMES,
    RECIPES,
    SIZES,
    STREAM,
    STREAM_FEATURES,
    STREAM_NETWORK,
    DataConfig,
    FeatureConfig,
    NetworkConfig,
    TrainConfig,
)
from speechcls.errors import ArtifactError, ConfigError, SpeechclsError, reason_of
from speechcls.fields import Config, describe_fields
from speechcls.labels import UNKNOWN, is_reserved, map_label
from speechcls.text import json_text

Sections = Mapping[str, Mapping[str, Any]]
"""Given settings, by section and field."""

SECTIONS: dict[str, type[Config]] = {
    "features": FeatureConfig,
    "network": NetworkConfig,
    "training": TrainConfig,
    "data": DataConfig,
}
AUTO, NOTHING = "auto", "none"
"""Values of ``from_model``: what suits the data, and fresh weights."""
MUCH_DATA = 10_000
"""Clips from which on a network is as good from nothing as from a trained model."""
FEW_CLIPS = 2_000
"""Clips up to which a training starts from a model that was trained on some that it holds out: from
nothing so few make no recogniser. Above, the scores come first."""

N_STEPS_MIN, LARGEST_BATCH = 2_000, 512
"""Steps with which a training on a GPU is as good as one with smaller batches, and the largest ones
that were tried: 64 clips 96.3 % (8,100 steps), 256 clips 96.6 % (2,000), 512 clips 96.1 %
(1,000) and 96.6 % (1,800), with the learning rate by the fourth root of the batch."""

_CLIP_MODELS, _STREAM_MODELS = ("commands", "commands-tiny"), ("commands-stream",)
"""Models that come with speechcls, to start from."""

_EXTRA = {
    ("network", "size"): "Hidden size by parameters: tiny, small or base.",
    ("training", "from_model"): "Trained model to start from; auto: one of speechcls; none.",
}
"""Keys of a section that are no field of its configuration."""
_CHOSEN_LATER = {
    "kind": "chosen to suit the network",
    "duration_s": "chosen by the usual length of the clips",
}
"""Features that are not decided before training, unless they are given."""
_UNCONSTRAINED = FeatureConfig(kind="log-mel")
"""Features whose kind is not chosen yet are checked as the kind with the fewest constraints."""


@dataclass(frozen=True)
class TrainSettings:
    """The settings of one training."""

    features: FeatureConfig = _UNCONSTRAINED
    """Its ``kind`` and ``duration_s`` count only if they are in ``given``."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    size: str | None = None
    """Name in ``SIZES``: the largest hidden size with fewer parameters is chosen."""
    from_model: str = AUTO
    """Trained model whose features, network and weights, but for the last layer, are kept."""
    given: frozenset[str] = frozenset()
    """Fields of ``features`` that were given and are not chosen."""
    sections: Sections = field(default_factory=dict, compare=False, repr=False)
    """As they were given."""
    source: Artifact | None = field(default=None, compare=False, repr=False)
    """The model to start from, read once; None where the weights are fresh."""

    def __post_init__(self) -> None:
        """Refuse a model to start from that is only named: ``from_sections`` reads it."""
        if self.source is None and self.from_model not in (AUTO, NOTHING):
            raise ConfigError("is not read; use from_sections", field="from_model")

    @classmethod
    def from_sections(cls, sections: Sections) -> Self:
        """Return the given settings, and the defaults for all others.

        Parameters
        ----------
        sections : as ``{"network": {"arch": "gru", "size": "tiny"}, "training": {"epochs": 10}}``

        Raises
        ------
        ConfigError
            With the field, when it is unknown, or its value has the wrong type or is impossible.
        ArtifactError
            When the model to start from cannot be loaded.
        """
        if unknown := sorted(sections.keys() - SECTIONS.keys()):
            raise ConfigError(f"no such section; there are {', '.join(SECTIONS)}", field=unknown[0])
        for name, values in sections.items():
            if not isinstance(values, Mapping):
                raise ConfigError("must be a section with settings", field=name)
        features, network, training, data = (dict(sections.get(name, {})) for name in SECTIONS)
        size, from_model = network.pop("size", None), training.pop("from_model", None)
        is_started = from_model not in (None, AUTO, NOTHING)
        recipe = training.get("recipe", ADAPT if is_started else TrainConfig.recipe)
        _check_choice("recipe", recipe, tuple(RECIPE_NAMES))
        _check_choice("size", size, tuple(SIZES))
        _check_choice("from_model", from_model)
        if size is not None and "hidden_size" in network:
            raise ConfigError("cannot be combined with hidden_size", field="size")
        settings = cls(
            training=RECIPES[recipe].replaced(training),
            data=DataConfig().replaced(data),
            size=size,
            from_model=from_model or AUTO,
            source=(source := load_artifact(from_model) if is_started else None),
            sections=sections,
        )
        if source:
            return settings._started_from(source, features, network)
        if recipe == STREAM:
            features, network = STREAM_FEATURES | features, STREAM_NETWORK | network
        return dataclasses.replace(
            settings,
            features=_UNCONSTRAINED.replaced(features),
            network=NetworkConfig().replaced(network),
            given=frozenset(features),
        )

    def _started_from(
        self, source: Artifact, features: Mapping[str, Any], network: Mapping[str, Any]
    ) -> Self:
        """Return the settings with features and network of the model to start from."""
        there = source.features.to_dict() | source.network.to_dict()
        wanted = {**features, **network}
        duration_s = wanted.pop("duration_s", None)  # a network takes clips of any length
        if self.size is not None:
            there["size"], wanted["size"] = size_of(source), self.size
        if changed := [name for name, value in wanted.items() if there.get(name) != value]:
            raise ConfigError(
                f"is fixed by the model to start from ({self.from_model}); leave it out",
                field=changed[0],
            )
        if self.training.recipe == STREAM and not source.network.is_streaming:
            raise ConfigError(f"{self.from_model}: is not a streaming model", field="from_model")
        given = frozenset(source.features.to_dict()) - {"duration_s"}
        training = {**ADAPTED, **self.sections.get("training", {})}
        adapted = {name: training[name] for name in ADAPTED if knows_other_words(source)}
        return dataclasses.replace(
            self,
            training=self.training.replaced(adapted),
            features=source.features.replaced({"duration_s": duration_s} if duration_s else {}),
            network=source.network,
            size=None,
            given=given | {"duration_s"} if duration_s else given,
        )

    def started(self, n_clips: int) -> tuple[Self, str]:
        """Return the settings with the model to start from decided, and why, if that was left open.

        It is the first of the models that come with speechcls which has the features and network
        asked for, unless there is much data.

        Parameters
        ----------
        n_clips : of the data set
        """
        if self.from_model != AUTO:
            return self, ""
        if n_clips > MUCH_DATA:
            return self.from_nothing(), f"{n_clips} clips are enough"
        for name in _STREAM_MODELS if self.training.recipe == STREAM else _CLIP_MODELS:
            with suppress(ConfigError, ArtifactError):
                return self._from(name), "it comes with speechcls"
        return self.from_nothing(), "no model that comes with speechcls has these settings"

    def from_nothing(self) -> Self:
        """Return the settings of the same training with fresh weights."""
        return self._from(NOTHING)

    def _from(self, model: str) -> Self:
        training = {**self.sections.get("training", {}), "from_model": model}
        return self.from_sections({**self.sections, "training": training})

    def trained_digests(self) -> set[str]:
        """Return the digests of the clips that trained the model to start from."""
        rows = load_split(self.source) if self.source else []
        return {row.digest for row in rows if row.split == "train"}

    @property
    def duration_s(self) -> float | None:
        """Length of the window, seconds; None where the clips decide."""
        return self.features.duration_s if "duration_s" in self.given else None

    def with_large_batches(self, n_clips: int) -> Self:
        """Return the settings with the largest batches that leave enough steps, for a GPU.

        They and the learning rate, which grows with their fourth root, stay as they were given.

        Parameters
        ----------
        n_clips : in an epoch
        """
        given, config = self.sections.get("training", {}), self.training
        if "batch_size" in given or (size := config.batch_size) != TrainConfig.batch_size:
            return self
        while 2 * size <= LARGEST_BATCH and config.epochs * n_clips >= 2 * size * N_STEPS_MIN:
            size *= 2
        factor = 1.0 if "lr" in given else (size / config.batch_size) ** 0.25
        grown = config.replaced({"batch_size": size, "lr": config.lr * factor})
        return dataclasses.replace(self, training=grown)

    def resolved(self, features: FeatureConfig, network: NetworkConfig) -> Self:
        """Return the settings with all open choices resolved."""
        given = frozenset(features.to_dict())
        return dataclasses.replace(self, features=features, network=network, size=None, given=given)

    def to_sections(self) -> dict[str, dict[str, Any]]:
        """Return what ``from_sections`` makes equal settings of, JSON-ready.

        What is left open is not in it, nor is None, which TOML cannot write.
        """
        features, network = self.features.to_dict(), self.network.to_dict()
        for name in _CHOSEN_LATER:
            if name not in self.given:
                del features[name]
        if self.size is not None:
            network["size"] = self.size
            del network["hidden_size"]
        training = {**self.training.to_dict(), "from_model": self.from_model}
        values = (features, network, training, self.data.to_dict())
        return {
            section: {name: value for name, value in fields.items() if value is not None}
            for section, fields in zip(SECTIONS, values, strict=True)
        }

    def to_toml(self) -> str:
        """Return a config file of these settings, with a comment that says what each is."""
        lines = []
        for section, values in self.to_sections().items():
            about = describe_fields(SECTIONS[section])
            lines.append(f"[{section}]")
            for name, value in values.items():
                lines.append(f"# {about.get(name) or _EXTRA[section, name]}")
                # Numbers, truth values, texts and lists of texts are written alike in JSON.
                lines.append(f"{name} = {json_text(value, ensure_ascii=False)}")
            for name, reason in _CHOSEN_LATER.items():
                if section == "features" and name not in values:
                    lines += [f"# {about[name]}", f"# {name}: {reason}"]
            lines.append("")
        return "\n".join(lines)


def knows_other_words(source: Artifact) -> bool:
    """Whether a model tells words apart that it takes for ``_unknown_``."""
    words = [word for word in source.words if not is_reserved(word)]
    return any(map_label(word, source.labels) == UNKNOWN for word in words)


def size_of(source: Artifact) -> str | None:
    """Return the name of a model's size; None where its parameters are not known or too many."""
    n_parameters = read_metrics(source.path).get("n_parameters", math.inf)
    return next((size for size, most in SIZES.items() if n_parameters <= most), None)


def merge_sections(sections: Sections, winning: Sections) -> dict[str, dict[str, Any]]:
    """Return ``sections`` overridden by ``winning``, as a config file is by options.

    A recipe overrides all settings of training but seed, snapshots and ``from_model``, ``size`` the
    hidden size and the other way round, and a model to start from features and network.
    """
    merged = {name: dict(fields) for name, fields in sections.items()}
    training, network = winning.get("training", {}), winning.get("network", {})
    if "recipe" in training:
        kept = merged.get("training", {}).items()
        merged["training"] = {k: v for k, v in kept if k in ("seed", "snapshots", "from_model")}
    for name, other in (("size", "hidden_size"), ("hidden_size", "size")):
        if name in network:
            merged.get("network", {}).pop(other, None)
    if training.get("from_model", AUTO) not in (AUTO, NOTHING):
        merged.pop("features", None)
        merged.pop("network", None)
    for name, fields in winning.items():
        merged[name] = merged.get(name, {}) | dict(fields)
    return merged


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """Return the sections of a config file: TOML, or the ``config.json`` of a model.

    Raises
    ------
    ConfigError
        Naming the file, the key and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {reason_of(error)}; name a config file") from error
    except ValueError as error:  # of both parsers, and of text that is not UTF-8
        raise ConfigError(f"{path}: neither TOML nor JSON ({error}); correct the file") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: no sections; there are {', '.join(SECTIONS)}")
    if "format_version" in content:
        content = _sections_of_model(path, content)
    for section, values in content.items():
        if section not in SECTIONS:
            raise ConfigError(
                f"{path}: {section}: no such section; there are {', '.join(SECTIONS)}"
            )
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: {section}: must be a section with settings")
        base = _UNCONSTRAINED if section == "features" else SECTIONS[section]()
        fields = {name: value for name, value in values.items() if (section, name) not in _EXTRA}
        try:
            base.replaced(fields)
        except ConfigError as error:
            raise ConfigError(f"{path}: {section}.{error.field}: {error.message}") from error
    try:
        TrainSettings.from_sections(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {section_of(error.field)}{error}") from error
    except ArtifactError as error:
        raise ConfigError(f"{path}: training.from_model: {error}") from error
    return content


@contextmanager
def naming_file(path: Path | None, in_file: Sections, winning: Sections) -> Iterator[None]:
    """Name the config file and the key in errors about settings that came from there.

    Parameters
    ----------
    path : of the file; None where there is none
    in_file, winning : the settings in the file, and those that override them
    """
    try:
        yield
    except SpeechclsError as error:
        section = section_of(error.field).removesuffix(".")
        is_from_file = error.field in in_file.get(section, {})
        if path is None or not is_from_file or error.field in winning.get(section, {}):
            raise
        raise type(error)(f"{path}: {section}.{error}", error.details) from error


def section_of(field: str | None) -> str:
    """Return the section of a setting with a dot behind it; nothing where it has none."""
    for section, config in SECTIONS.items():
        if field in config.__dataclass_fields__ or (section, field) in _EXTRA:
            return f"{section}."
    return ""


def _check_choice(field: str, value: object, valid: tuple[str, ...] = ()) -> None:
    """Refuse what is neither None nor text, nor one of ``valid`` where there are such."""
    if value is None or (isinstance(value, str) and (not valid or value in valid)):
        return
    if not isinstance(value, str):
        raise ConfigError(f"{value!r} has the wrong type; it must be text", field=field)
    raise ConfigError(f"no {value!r}; there are {', '.join(valid)}", field=field)


def _sections_of_model(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of a model's ``config.json``; older ones have training in metrics."""
    sections = {name: content[name] for name in SECTIONS if name in content}
    if "training" not in sections:
        metrics = read_metrics(path.parent, required=True)
        sections["training"] = metrics.get("training", {})
        sections["data"] = {"commands": metrics.get("commands", [])}
    if isinstance(sections.get("data"), dict):
        # Models that do not say so are from before sounds to reject were made.
        sections["data"] = {"closed": True, **sections["data"]}
    if isinstance(sections["training"], dict):
        sections["training"] = {"from_model": NOTHING, **sections["training"]}
    return sections
