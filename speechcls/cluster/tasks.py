"""What is done with each recording of a list: its word predicted, or the words in it detected."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from speechcls.artifact.fingerprint import fingerprint_of
from speechcls.artifact.format import Artifact
from speechcls.audio.blocks import open_recording
from speechcls.cluster.places import NamedBytes, read_recording
from speechcls.config import DEFAULT_EVERY_S, EventSettings
from speechcls.errors import AudioError, ConfigError, SpeechclsError
from speechcls.lists.clip_list import no_path
from speechcls.runtime.classifier import Classifier, Prediction
from speechcls.runtime.detection import Event
from speechcls.runtime.session import DEVICES
from speechcls.runtime.streaming import StreamingClassifier
from speechcls.storage.places import is_address

Source = str | NamedBytes | SpeechclsError
"""A recording: the path of a file, the content of one elsewhere, or why that cannot be read."""


@dataclass(frozen=True)
class PartSizes:
    """How many recordings each part of a list has.

    The first parts are small, so that a short list occupies all processes, and later ones larger,
    so that a long list has not too many. It does not depend on the length of the list, so that a
    list that goes on has the same parts.
    """

    first: int
    largest: int
    n_alike: int = 64
    """After so many parts they double."""

    def __iter__(self) -> Iterator[int]:
        """Yield the size of each part."""
        size = self.first
        while True:
            for _ in range(self.n_alike):
                yield size
            size = min(2 * size, self.largest)


class Scorer(Protocol):
    """A task in the process that does it."""

    def score(self, sources: Iterable[Source]) -> Iterator[Any]:
        """Yield what each recording comes to, in their order."""
        ...

    def table(self, first_row: int, paths: Sequence[str], outcomes: Sequence[Any]) -> Any:
        """Return a table of pyarrow.

        Parameters
        ----------
        first_row : number of the first of ``paths`` in the list
        paths : as the list has them
        outcomes : of each of them, one of those that ``score`` yielded, or an error
        """
        ...


class Task(Protocol):
    """What is done with each recording."""

    name: ClassVar[str]
    sizes: ClassVar[PartSizes]
    n_ahead: ClassVar[int]
    """Recordings at addresses that are fetched at once by a process."""

    @property
    def device(self) -> str:
        """What the model runs on: ``cpu`` or ``cuda``."""
        ...

    def about(self) -> dict[str, Any]:
        """Return everything that the results depend on, JSON-ready values by name."""
        ...

    def open(self, jobs: int = 1) -> Scorer:
        """Return what does it, in so many threads."""
        ...


def error_of(outcome: Any) -> str | None:
    """Return the error that a recording came to; None where it came to none."""
    if isinstance(outcome, SpeechclsError):
        return str(outcome)
    return outcome.error if isinstance(outcome, Found) else None


def _model_of(artifact: Artifact) -> dict[str, Any]:
    return {
        "model": artifact.path.name,
        "model_fingerprint": fingerprint_of(artifact.path),
        "labels": [*artifact.labels],
    }


@dataclass(frozen=True)
class PredictTask:
    """Predict the word of each recording, as ``Classifier.predict_many`` does."""

    artifact: Artifact
    threshold: float | None = None
    channel: int | None = None
    device: str = "cpu"
    name: ClassVar[str] = "predict"
    sizes: ClassVar[PartSizes] = PartSizes(first=256, largest=16_384)
    n_ahead: ClassVar[int] = 32

    def __post_init__(self) -> None:
        """Refuse a device that there is nowhere."""
        if self.device not in DEVICES:
            known = ", ".join(DEVICES)
            raise ConfigError(f"no {self.device!r}; there are {known}", field="device")

    def about(self) -> dict[str, Any]:
        """Return everything that the results depend on, JSON-ready values by name."""
        settings = {name: getattr(self, name) for name in ("threshold", "channel", "device")}
        return {"command": self.name, **_model_of(self.artifact), "settings": settings}

    def open(self, jobs: int = 1) -> "_Predictor":
        """Return what does it, in so many threads."""
        return _Predictor(self, jobs)


class _Predictor:
    def __init__(self, task: PredictTask, jobs: int) -> None:
        self._task = task
        self._classifier = Classifier(task.artifact, jobs, task.device)

    def score(self, sources: Iterable[Source]) -> Iterator[Prediction | SpeechclsError]:
        settings = self._task.threshold, self._task.channel
        for _, outcome in self._classifier.predict_many(sources, None, *settings):
            yield outcome

    def table(
        self,
        first_row: int,
        paths: Sequence[str],
        outcomes: Sequence[Prediction | SpeechclsError],
    ) -> Any:
        """Return a row a recording: predicted label, its probability, those of all labels."""
        import pyarrow as pa

        labels = self._classifier.labels
        of_labels = pa.struct([pa.field(label, pa.float32()) for label in labels])
        good = [each if isinstance(each, Prediction) else None for each in outcomes]
        return pa.table(
            {
                "row": pa.array(range(first_row, first_row + len(paths)), pa.int64()),
                "path": pa.array(map(_as_text, paths), pa.string()),
                "label": pa.array([each and each.label for each in good], pa.string()),
                "probability": pa.array([each and each.probability for each in good], pa.float32()),
                "probabilities": pa.array(
                    [each and each.probabilities for each in good], of_labels
                ),
                "error": pa.array(map(_error_text, outcomes), pa.string()),
                "notes": pa.array([[*each.notes] if each else [] for each in good], _texts()),
            }
        )


@dataclass
class Found:
    """The words in a recording, also in one that breaks off."""

    events: list[Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True)
class DetectTask:
    """Detect the words in each recording, as ``StreamingClassifier`` does."""

    artifact: Artifact
    threshold: float | None = None
    labels: Sequence[str] | None = None
    settings: EventSettings = field(default_factory=EventSettings)
    every_s: float = DEFAULT_EVERY_S
    channel: int | None = None
    rate: int | None = None
    """Of sound without a header, Hz."""
    name: ClassVar[str] = "detect"
    device: ClassVar[str] = "cpu"
    sizes: ClassVar[PartSizes] = PartSizes(first=1, largest=16)
    n_ahead: ClassVar[int] = 2

    def about(self) -> dict[str, Any]:
        """Return everything that the results depend on, JSON-ready values by name."""
        names = "threshold", "labels", "every_s", "channel", "rate"
        settings = {name: getattr(self, name) for name in names} | self.settings.to_dict()
        return {"command": self.name, **_model_of(self.artifact), "settings": settings}

    def open(self, jobs: int = 1) -> "_Detector":
        """Return what does it, on one core."""
        return _Detector(self)


class _Detector:
    def __init__(self, task: DetectTask) -> None:
        self._task = task

    def score(self, sources: Iterable[Source]) -> Iterator[Found]:
        return map(self._detect, sources)

    def _detect(self, source: Source) -> Found:
        if isinstance(source, SpeechclsError):
            return Found(error=str(source))
        task, found = self._task, Found()
        classifier = StreamingClassifier(
            task.artifact, task.threshold, task.labels, task.settings, task.every_s
        )
        how = classifier.sample_rate, task.channel, task.rate
        try:
            with open_recording(source, *how) as recording:
                try:
                    for block in recording.blocks():
                        found.events += classifier.feed(block)
                finally:
                    found.events += classifier.finish()
                    found.notes = recording.notes
        except AudioError as error:
            found.error = str(error)
        return found

    def table(
        self, first_row: int, paths: Sequence[str], outcomes: Sequence[Found | SpeechclsError]
    ) -> Any:
        """Return a row a word; a recording without one, or with an error, has a row for that."""
        import pyarrow as pa

        rows: list[tuple[Any, ...]] = []
        for row, (path, outcome) in enumerate(zip(paths, outcomes, strict=True), first_row):
            found = Found(error=str(outcome)) if isinstance(outcome, SpeechclsError) else outcome
            of_all = row, _as_text(path)
            words = [(e.start_s, e.end_s, e.label, e.probability) for e in found.events]
            rows += [(*of_all, *word, None, found.notes) for word in words]
            if found.error is not None or not words:
                error = found.error and _as_text(found.error)
                rows.append((*of_all, None, None, None, None, error, found.notes))
        names = "row", "path", "start_s", "end_s", "label", "probability", "error", "notes"
        number, text = pa.float64(), pa.string()
        types = pa.int64(), text, number, number, text, number, text, _texts()
        columns = zip(*rows, strict=True)
        arrays = [pa.array(c, t) for c, t in zip(columns, types, strict=True)]
        return pa.table(dict(zip(names, arrays, strict=True)))


def _texts() -> Any:
    import pyarrow as pa

    return pa.list_(pa.string())


def _error_text(outcome: Any) -> str | None:
    error = error_of(outcome)
    return error and _as_text(error)


def _as_text(text: str) -> str:
    r"""Return text as UTF-8 can hold it: bytes of a name that are not, as ``\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode()


def fetched(places: Iterable[str], n_ahead: int) -> Iterator[Source]:
    """Yield each recording in order; those at addresses are fetched ahead, ``n_ahead`` at once."""
    with ThreadPoolExecutor(n_ahead) as pool:
        pending: deque[Source | Future[NamedBytes | SpeechclsError]] = deque()
        for place in places:
            if not place:
                pending.append(no_path())
            else:
                pending.append(pool.submit(read_recording, place) if is_address(place) else place)
            if len(pending) > n_ahead:
                yield _content(pending.popleft())
        while pending:
            yield _content(pending.popleft())


def _content(waiting: "Source | Future[NamedBytes | SpeechclsError]") -> Source:
    return waiting.result() if isinstance(waiting, Future) else waiting
