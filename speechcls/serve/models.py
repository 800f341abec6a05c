"""The models that are served, each loaded once for all requests and streams."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechcls.artifact.format import STREAM, Artifact
from speechcls.artifact.store import load_artifact
from speechcls.errors import ConfigError
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.detection import choose_thresholds
from speechcls.runtime.stream import PosteriorStream, advance
from speechcls.runtime.streaming import StreamingClassifier
from speechcls.serve.guard import Refusal


class ServedModel:
    """A model, with one session of each of its graphs.

    Parameters
    ----------
    source : in words, how it was chosen
    """

    def __init__(self, artifact: Artifact, source: str) -> None:
        self.artifact, self.source = artifact, source
        self.name = artifact.path.resolve().name
        self.classifier = Classifier(artifact, jobs=1)
        self._stream: PosteriorStream | None = None
        if STREAM in (artifact.contents or {}):
            self._stream = PosteriorStream(artifact)
            streams = [self._stream, PosteriorStream(artifact, session=self._stream.session)]
            for stream in streams:
                stream.put(self._silence())
            advance(streams)  # what is checked once is checked before the first
            for stream in streams:
                stream.take()

    def _silence(self) -> Any:
        import numpy as np

        return np.zeros(self.artifact.features.sample_rate, np.float32)

    @property
    def is_causal(self) -> bool:
        """Whether it is made for streams."""
        return self.artifact.network.is_streaming

    def open_stream(
        self,
        threshold: float | Mapping[str, float] | None = None,
        labels: Sequence[str] | None = None,
        eager: bool = False,
        sample_rate: int | None = None,
    ) -> StreamingClassifier:
        """Return a stream of its own state, on the session of all.

        Parameters
        ----------
        threshold, labels, eager, sample_rate : see ``StreamingClassifier``

        Raises
        ------
        Refusal
            When the model is of before streams.
        ConfigError
            When it has no such label, or the threshold is impossible.
        """
        if self._stream is None:
            raise Refusal(422, f"model {self.name}: it predates streaming; train it again")
        return StreamingClassifier(
            self.artifact,
            threshold,
            labels,
            eager=eager,
            sample_rate=sample_rate,
            session=self._stream.session,
        )

    def describe(self) -> dict[str, Any]:
        """Return what a client may know of it, JSON-ready, without a path."""
        features = self.artifact.features
        return {
            "name": self.name,
            "source": self.source,
            "labels": [*self.artifact.labels],
            "sample_rate": features.sample_rate,
            "window_s": features.duration_s,
            "is_causal": self.is_causal,
            "every_s": None if self._stream is None else self._stream.every_s,
            "thresholds": choose_thresholds(self.artifact),
        }


class ModelSet:
    """The models of a server, by name.

    Parameters
    ----------
    places : folder of each model, and in words how it was chosen; the first one predicts and
        detects where a request names none, the first causal one has the streams

    Raises
    ------
    ArtifactError
        When one is damaged.
    ConfigError
        When two have the same name.
    """

    def __init__(self, places: Iterable[tuple[Path, str]]) -> None:
        self._models: dict[str, ServedModel] = {}
        for path, source in places:
            model = ServedModel(load_artifact(path), source)
            if model.name in self._models:
                raise ConfigError(
                    f"two models are named {model.name}; rename the folder of one", field="model"
                )
            self._models[model.name] = model
        models = [*self._models.values()]
        self.default = models[0]
        self.default_live = next((model for model in models if model.is_causal), models[0])

    def add(self, path: Path, source: str) -> str:
        """Serve one more model, in place of one of its name; return its name.

        Raises
        ------
        ArtifactError
            When it is damaged.
        """
        model = ServedModel(load_artifact(path), source)
        self._models[model.name] = model
        if model.name == self.default.name:
            self.default = model
        if model.name == self.default_live.name:
            self.default_live = model
        return model.name

    def remove(self, name: str) -> None:
        """Serve a model no longer, but for the streams that are open; a default one stays."""
        if name not in (self.default.name, self.default_live.name):
            self._models.pop(name, None)

    def find(self, name: str | None, is_live: bool = False) -> ServedModel:
        """Return the model of a name, or the default one.

        Raises
        ------
        Refusal
            When there is none of the name.
        """
        if name is None:
            return self.default_live if is_live else self.default
        if name not in self._models:
            raise Refusal(
                404, f"model {name}: not served here; name one of {', '.join(self._models)}"
            )
        return self._models[name]

    def describe(self) -> dict[str, Any]:
        """Return all of them, and which ones are the defaults, JSON-ready."""
        return {
            "models": [model.describe() for model in [*self._models.values()]],
            "default": self.default.name,
            "default_live": self.default_live.name,
        }
