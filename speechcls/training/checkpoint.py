"""The state of an unfinished training, beside the model that it will become."""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import speechcls
from speechcls.artifact.store import read_metrics
from speechcls.data.corpus import Corpus
from speechcls.distributed.group import Group
from speechcls.errors import ArtifactError, reason_of
from speechcls.files import write_atomic
from speechcls.locks import try_lock
from speechcls.training.settings import SECTIONS, TrainSettings

INTERVAL_S = 300.0
"""Longest time between two saved states, seconds."""
COST_MAX = 0.01
"""Largest fraction of a training's time that saving its state may take."""
_ENDING = ".unfinished"
_STATE, _LOCK = "state.safetensors", "lock"
_FORMAT_VERSION = 2
"""2: the best epoch is chosen by balanced accuracy, which a state of version 1 does not hold."""
_N_NAMED = 5
"""Differences named in an error."""


@dataclass(frozen=True)
class State:
    """What the rest of a training depends on."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]
    """JSON-ready."""


@dataclass(frozen=True)
class Identity:
    """What a training is, and on what it runs."""

    settings: dict[str, dict[str, Any]]
    """By section and field."""
    data: dict[str, Any]
    """``sha256`` of the clips, their labels and splits, and ``n_clips`` by split and label."""
    environment: dict[str, Any]
    """What the last bits of the weights depend on: device, threads, processes, versions."""


def identify(
    settings: TrainSettings, corpus: Corpus, device: str, n_processes: int = 1
) -> Identity:
    """Return what tells one training from another.

    Parameters
    ----------
    settings : with all open choices resolved
    """
    counts = Counter(f"{row.label} in {row.split}" for row in corpus.rows)
    sections: dict[str, dict[str, Any]] = json.loads(json.dumps(settings.to_sections()))
    return Identity(
        sections,
        {"sha256": _hash_of(corpus), "n_clips": dict(counts)},
        {
            "speechcls": speechcls.__version__,
            "torch": torch.__version__,
            "device": device,
            "threads": torch.get_num_threads(),
            "processes": n_processes,
        },
    )


def _hash_of(corpus: Corpus) -> str:
    """Return a hash of all that a training takes of a corpus, in order."""
    content = hashlib.sha256(corpus.noise.tobytes())
    for row in corpus.rows:
        text = f"{row.split}\0{row.label}\0{row.digest}\n"
        content.update(text.encode("utf-8", "surrogateescape"))
    return content.hexdigest()


class Checkpoint:
    """The state of the training of one model on disk, which this process alone may change.

    It is a file of tensors, replaced as a whole, in a folder beside the model.

    Attributes
    ----------
    place : folder of the model
    folder : beside it, where the state lies
    state : the state to go on from, once it is read; None if there is none
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.state: State | None = None
        self.folder = place.with_name(place.name + _ENDING)
        self._file = self.folder / _STATE
        self._identity: Identity | None = None
        self._started = self._saved = time.monotonic()
        self._spent_s = 0.0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training this model; a folder without a state is removed.

        Raises
        ------
        ArtifactError
            When another process does so, naming it, or the folder cannot be made.
        """
        folders = [self.folder, *self.folder.parents]
        made = [folder for folder in folders if not folder.exists()]
        try:
            lock = _lock(self.folder)
        except BlockingIOError:
            process = _read_owner(self.folder)
            raise ArtifactError(
                f"{self.place}: {process} is training this model; wait for its end, or choose"
                " another place"
            ) from None
        except OSError as error:
            raise ArtifactError(
                f"{self.folder}: {reason_of(error)}; choose another place"
            ) from error
        try:
            yield
        finally:
            if not self.exists():
                # Still locked: who waits for this lock finds that it is gone, and makes another.
                with suppress(OSError):  # where something that is not ours is in there
                    (self.folder / _LOCK).unlink()
                    for folder in made or [self.folder]:
                        folder.rmdir()
            os.close(lock)

    def exists(self) -> bool:
        """Whether there is a state."""
        return self._file.is_file()

    def is_replacing(self) -> bool:
        """Whether the model that is there is one of this training.

        It is what an interruption kept of it, or the training ended while it was calibrated.

        Raises
        ------
        ArtifactError
            When the state is damaged.
        """
        if not self.exists():
            return False
        metrics = read_metrics(self.place)
        if metrics.get("interrupted") is True or "history" not in metrics:
            return metrics.get("interrupted") is True
        done = self._read()[0].numbers["history"]
        return bool(done) and metrics["history"][: len(done)] == done

    def open(self, identity: Identity, may_replace: bool = False) -> list[str]:
        """Read the state, if there is one; return what is to be known of it, one text each.

        Parameters
        ----------
        may_replace : begin anew where it is of other settings or data

        Raises
        ------
        ArtifactError
            When it is damaged, or of other settings or data, naming them.
        """
        self._identity = identity
        if not self.exists():
            return []
        state, there = self._read()
        changes = _differences(there, identity)
        if changes:
            more = f" and {len(changes) - _N_NAMED} more" if len(changes) > _N_NAMED else ""
            told = f"{'; '.join(changes[:_N_NAMED])}{more}"
            if may_replace:
                return [f"an unfinished training is replaced, which had other settings ({told})"]
            raise ArtifactError(
                f"{self.folder}: holds an unfinished training with other settings or data"
                f" ({told}); repeat these to go on, use force to begin anew, or choose another"
                " place"
            )
        # States of one process have not always said so.
        self.state, before = state, {"processes": 1, **there.environment}
        moved = [
            f"{name} {before.get(name)}, now {value}"
            for name, value in identity.environment.items()
            if before.get(name) != value
        ]
        told = (
            f"the training began with {'; '.join(moved)}: the last bits of its weights may differ"
        )
        return [told] if moved else []

    def share(self, group: Group) -> None:
        """Give the state of the main process, which alone has read it, to all others."""
        if group.is_alone:
            return
        from safetensors.torch import load, save

        state = self.state
        numbers = group.tell(state.numbers if state else None)
        content = group.tell_bytes(save(state.tensors) if state else b"")
        self.state = None if numbers is None else State(load(content), numbers)

    def _read(self) -> tuple[State, Identity]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._file, "pt") as file:
                metadata = json.loads(file.metadata()["training"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata["format_version"] == _FORMAT_VERSION:
                return State(tensors, metadata["numbers"]), Identity(**metadata["identity"])
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{self._file}: damaged ({reason_of(error)}); move {self.folder} away to begin anew"
            ) from error
        raise ArtifactError(
            f"{self.folder}: holds an unfinished training by another version of speechcls; end it"
            " with that one, or move it away to begin anew"
        )

    def is_due(self, at_end_of_epoch: bool) -> bool:
        """Whether the state is to be saved now."""
        now = time.monotonic()
        if not at_end_of_epoch:
            return now - self._saved >= INTERVAL_S
        return self._spent_s <= COST_MAX * (now - self._started)

    def save(self, state: State) -> None:
        """Put a state in the place of the last one, which stays if it cannot be written.

        Raises
        ------
        OSError
            When it cannot be written.
        """
        from safetensors.torch import save

        assert self._identity is not None
        begun = time.monotonic()
        metadata = {
            "format_version": _FORMAT_VERSION,
            "identity": vars(self._identity),
            "numbers": state.numbers,
        }
        tensors = {name: tensor.cpu().contiguous() for name, tensor in state.tensors.items()}
        write_atomic(self._file, save(tensors, {"training": json.dumps(metadata)}))
        self._saved = time.monotonic()
        self._spent_s += self._saved - begun

    def remove(self) -> None:
        """Remove the state, as at the end of a training."""
        self._file.unlink(missing_ok=True)


def _differences(there: Identity, here: Identity) -> list[str]:
    """Return in which settings and data two trainings differ, one text each."""
    changes = []
    for section, fields in here.settings.items():
        added = json.loads(json.dumps(dict(SECTIONS[section].ADDED)))
        before = {**added, **there.settings.get(section, {})}
        for name in dict.fromkeys([*before, *fields]):
            if before.get(name) != fields.get(name):
                changes.append(f"{name} was {before.get(name)}, is {fields.get(name)}")
    if there.data["sha256"] == here.data["sha256"]:
        return changes
    was, now = there.data["n_clips"], here.data["n_clips"]
    counts = [
        f"{kind}: {was.get(kind, 0)} clips, now {now.get(kind, 0)}"
        for kind in sorted({*was, *now})
        if was.get(kind) != now.get(kind)
    ]
    return changes + (counts or ["recordings have changed"])


def _lock(folder: Path) -> int:
    """Return a descriptor that holds the lock of a folder, which is made, until it is closed.

    The system releases it when the process ends, however it ends.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _LOCK
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # the folder has just been removed
            continue
        try:
            if try_lock(descriptor) is False:
                raise BlockingIOError
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                os.truncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # of a file that has just been removed


def _read_owner(folder: Path) -> str:
    try:
        return f"process {int((folder / _LOCK).read_text())}"
    except (OSError, ValueError):
        return "another process"
