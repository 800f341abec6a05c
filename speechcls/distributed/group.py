"""What the processes of a training do together: sums, agreement, and work in turn."""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor

from speechcls.distributed.place import Place, find_place
from speechcls.errors import PeerError, TrainingError

TIMEOUT_S = 600.0
"""How long other processes are waited for, at the start and in a step, seconds."""
_PATIENT_S = 7 * 86_400.0
"""How long they are waited for while they read the data, or save the model, seconds."""
_POLL_S = 0.05
"""How often a process looks whether the main one is there, seconds."""
_PREFIX = "speechcls"

T = TypeVar("T")


class Group:
    """The processes of a training; alone, every method does what one process would.

    All processes must call the same methods in the same order, but for ``part``.

    Parameters
    ----------
    patient : the group of ``torch.distributed`` that waits for long work; None alone

    Attributes
    ----------
    n_copies : how many processes have the same rows of the batch at hand; see ``part``
    """

    def __init__(self, place: Place, patient: Any = None) -> None:
        self.place, self._patient, self.n_copies = place, patient, 1

    def __deepcopy__(self, memo: dict[int, Any]) -> "Group":
        """Return itself: a copy of a network is in the same group."""
        return self

    @property
    def is_alone(self) -> bool:
        """Whether there is no other process."""
        return self.place.size == 1

    @property
    def is_main(self) -> bool:
        """Whether this process decides, writes and prints for all."""
        return self.place.is_main

    def part(self, n: int) -> tuple[int, int]:
        """Return the first of ``n`` rows that this process has, and the one after the last.

        Fewer rows than processes are the rows of each: none may be without, since networks take no
        empty batch, and all have the same weight.
        """
        rank, size = self.place.rank, self.place.size
        return (n * rank // size, n * (rank + 1) // size) if n >= size else (0, n)

    def begin_batch(self, n: int) -> None:
        """Take note of how many rows the batch at hand has."""
        self.n_copies = 1 if n >= self.place.size else self.place.size

    def add(self, values: Tensor) -> Tensor:
        """Return ``values`` after the sum of those of all processes is put into it."""
        if not self.is_alone:
            from torch import distributed

            with self._contact():
                distributed.all_reduce(values)
        return values

    def ratio(self, n: int) -> float:
        """Return ``n`` as a fraction of the sum of it over all processes."""
        return 1.0 if self.is_alone else n / int(self.add(torch.tensor(n)))

    def largest(self, value: int) -> int:
        """Return the largest of the values of all processes."""
        if self.is_alone:
            return value
        from torch import distributed

        values = torch.tensor(value)
        with self._contact():
            distributed.all_reduce(values, distributed.ReduceOp.MAX)
        return int(values)

    def copy_main(self, tensors: list[Tensor]) -> None:
        """Put the values of the main process into the tensors of all."""
        if self.is_alone:
            return
        from torch import distributed

        with self._contact():
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def tell(self, value: Any) -> Any:
        """Return the JSON-ready value of the main process; that of the others does not count."""
        if self.is_alone:
            return value
        content = json.dumps(value).encode() if self.is_main else b""
        return json.loads(self.tell_bytes(content))

    def tell_bytes(self, content: bytes) -> bytes:
        """Return the bytes of the main process; those of the others do not count."""
        if self.is_alone:
            return content
        from torch import distributed

        length = torch.tensor(len(content))
        with self._contact():
            distributed.broadcast(length, 0, group=self._patient)
            sent = _as_tensor(content) if self.is_main else torch.empty(int(length)).byte()
            distributed.broadcast(sent, 0, group=self._patient)
        return sent.numpy().tobytes()

    def gather(self, value: Any) -> list[Any]:
        """Return the JSON-ready value of each process, by rank."""
        if self.is_alone:
            return [value]
        from torch import distributed

        own = _as_tensor(json.dumps(value).encode())
        lengths = [torch.tensor(0) for _ in range(self.place.size)]
        with self._contact():
            distributed.all_gather(lengths, torch.tensor(len(own)), group=self._patient)
            longest = int(max(lengths))
            padded = [torch.zeros(longest).byte() for _ in lengths]
            filled = torch.nn.functional.pad(own, (0, longest - len(own)))
            distributed.all_gather(padded, filled, group=self._patient)
        pairs = zip(padded, lengths, strict=True)
        return [json.loads(each[: int(n)].numpy().tobytes()) for each, n in pairs]

    def in_turn(self, work: Callable[[], T], is_mine: bool) -> T | None:
        """Return what ``work`` does, after it has ended in all processes whose turn it is.

        Parameters
        ----------
        is_mine : whether it is the turn of this process; others wait, and get None

        Raises
        ------
        PeerError
            When it failed in another process.
        """
        result, is_done = None, not is_mine
        try:
            if is_mine:
                result, is_done = work(), True
        finally:
            are_done = self.gather(is_done)
        if not all(are_done):
            raise PeerError(f"{self.place.name}: another process ended, and says why")
        return result

    @contextmanager
    def _contact(self) -> Iterator[None]:
        """Say that another process is gone, in place of what a library says of its sockets."""
        try:
            yield
        except RuntimeError as error:
            raise TrainingError(
                f"{self.place.name}: lost contact with the other processes"
                f" ({_reason_of(error)}); the one that ended first, or torchrun, says why"
            ) from error


ALONE = Group(Place())
"""A process that shares its training with no other."""


@contextmanager
def joined(timeout_s: float = TIMEOUT_S) -> Iterator[Group]:
    """Yield the group of the processes that torchrun has started, once all are there.

    Without torchrun, or with one process, it is ``ALONE``.

    Parameters
    ----------
    timeout_s : how long the others are waited for

    Raises
    ------
    ConfigError
        When the environment does not say what torchrun would.
    TrainingError
        When the others are not there in time.
    """
    place = find_place()
    if place.size == 1:
        yield Group(place)
        return
    from torch import distributed

    backend, timeout = "gloo", timedelta(seconds=timeout_s)
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
    try:
        own = {"store": _open_store(place, timeout), "rank": place.rank, "world_size": place.size}
        distributed.init_process_group(backend, timeout=timeout, **own)
        everyone = distributed.new_group(timeout=timedelta(seconds=_PATIENT_S), backend="gloo")
    except RuntimeError as error:
        raise TrainingError(
            f"{place.name}: no contact with the other processes at {place.address} within"
            f" {timeout_s:g} s ({_reason_of(error)}); check that all {place.size} were started,"
            " that this machine reaches that address and port, and set GLOO_SOCKET_IFNAME (of"
            " GPUs NCCL_SOCKET_IFNAME too) where it has several networks"
        ) from error
    try:
        yield Group(place, everyone)
    finally:
        # Also after errors: a process group that is left ends its process with SIGABRT.
        distributed.destroy_process_group()


def _open_store(place: Place, timeout: timedelta) -> Any:
    """Return a store of keys that all processes have, empty at the start.

    That of torchrun holds the addresses of processes that it has ended, once it starts others.
    Process 0 chooses a new prefix, and answers each that has seen it with what that one wrote.
    """
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    host, _, port = place.address.rpartition(":")
    is_server = place.is_main and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    store = TCPStore(host, int(port), None, is_server, timeout, False, multi_tenant=True)
    own, end = uuid.uuid4().hex, time.monotonic() + timeout.total_seconds()
    if place.is_main:
        store.set(_PREFIX, own)
        for rank in range(1, place.size):
            seen = store.get(f"{_PREFIX}/{own}/{rank}").decode()  # waits for it
            store.set(f"{_PREFIX}/{own}/{rank}/answer", seen)
        return PrefixStore(f"{_PREFIX}/{own}", store)
    while time.monotonic() < end:
        chosen = store.get(_PREFIX).decode()  # of processes that ended, at first
        key = f"{_PREFIX}/{chosen}/{place.rank}"
        store.set(key, own)
        if store.check([f"{key}/answer"]) and store.get(f"{key}/answer").decode() == own:
            return PrefixStore(f"{_PREFIX}/{chosen}", store)
        time.sleep(_POLL_S)
    raise RuntimeError("rank 0 does not answer")


def _as_tensor(content: bytes) -> Tensor:
    return torch.tensor(bytearray(content), dtype=torch.uint8)  # which may be empty


def _reason_of(error: Exception) -> str:
    """Return what a library of sockets says, without where in its source it does so."""
    line = str(error).partition("\n")[0].partition(". ")[0]
    return line[line.find("] ") + 2 :].strip() if line.startswith("[") else line.strip()
