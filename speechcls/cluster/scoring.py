"""Score a list by many processes, part by part, each of them once."""

import itertools
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from speechcls import errors
from speechcls.cluster.attempts import Attempts
from speechcls.cluster.connection import Cluster, load_ray
from speechcls.cluster.results import Part, Results, check_same, digest_of, part_bytes
from speechcls.cluster.tasks import PartSizes, Task, error_of, fetched
from speechcls.errors import AudioError, ClusterError, ConfigError, SpeechclsError
from speechcls.lists.clip_list import ClipList

_N_TOLD = 3
"""Errors of each part that are told; all are in its rows."""
_N_IN_FLIGHT = 2
"""Parts that a process has: the one it works on and the next."""
_N_WRITERS = 8
_OWN = re.compile(rf"{re.escape(errors.__name__)}\.(\w+Error): (.+)")
"""The last line of a traceback of one of our errors."""


class Progress(NamedTuple):
    """A part that has been written."""

    n_clips: int
    n_failed: int
    n_again: int
    """Lines that name a recording once more; their rows are copies."""
    errors: list[str]
    """The first ones."""


def score_list(
    clips: ClipList, task: Task, results: Results, cluster: Cluster, workers: int | None = None
) -> Iterator[Progress]:
    """Write what is missing in the results of a list, and yield each part once it is written.

    Each line of the list has its row, also where it names a recording again. A recording that
    cannot be used has a row with an error. A process that is lost is replaced, and its part made
    again; a recording that ends the processes which read it counts as one that cannot be used.

    Parameters
    ----------
    workers : processes (default: one for each CPU of the cluster, or for each GPU where the task
        runs on these)

    Raises
    ------
    DatasetError, ConfigError
        When the list cannot be read, or is another one than that of the finished parts; or the
        cluster has not so many GPUs.
    ClusterError
        When the cluster fails.
    """
    rows = _run(clips, task, results, cluster, choose_workers(task.device, cluster, workers))
    n_parts: int | None = None
    pending: deque[Future[Progress]] = deque()
    with ThreadPoolExecutor(_N_WRITERS) as pool:
        for row in rows:
            if row["content"] is None:  # behind the last part
                n_parts = row["number"]
                continue
            pending.append(pool.submit(_write, row, results))
            while pending and (len(pending) > _N_WRITERS or pending[0].done()):
                yield pending.popleft().result()
        for each in pending:
            yield each.result()
    if n_parts is None or any(number not in results.finished for number in range(n_parts)):
        raise ClusterError(f"{results}: parts are missing; start this again to make them")
    results.conclude(n_parts)


class Workers(NamedTuple):
    """Processes that work, and what each of them has for itself."""

    number: int
    n_cpus: int
    n_gpus: int


def choose_workers(device: str, cluster: Cluster, number: int | None) -> Workers:
    """Return how many processes do a task; each has a CPU, or a GPU and its part of the CPUs.

    Parameters
    ----------
    device : that the task runs on
    number : that is asked for (default: as many as there can be)

    Raises
    ------
    ConfigError
        When there are not so many GPUs.
    """
    if device == "cpu":
        return Workers(number or cluster.n_cpus, 1, 0)
    if not cluster.n_gpus:
        raise ConfigError(
            f"{device}: no GPU that Ray knows of in {cluster.describe()}; start a cluster with"
            " some, or use cpu",
            field="device",
        )
    if (number or 0) > cluster.n_gpus:
        raise ConfigError(
            f"{number} processes, each with a GPU, and there are {cluster.n_gpus} in"
            f" {cluster.describe()}; ask for no more",
            field="workers",
        )
    return Workers(number or cluster.n_gpus, cluster.cpus_per_gpu, 1)


def is_complete(clips: ClipList, task: Task, results: Results) -> bool:
    """Whether the results of a list were concluded before, and it is the same list.

    Raises
    ------
    DatasetError, ConfigError
        As ``score_list`` does.
    """
    if not results.is_concluded:
        return False
    [missing] = next(
        _read_parts(None, clips, task.sizes, results.finished, str(results))
    ).to_pylist()
    if missing["names"]:
        return False
    results.conclude(missing["number"])
    return True


def _write(row: dict[str, Any], results: Results) -> Progress:
    part = Part(row["digest"], row["n_clips"], row["n_failed"])
    results.add(row["number"], part, row["content"])
    return Progress(part.n_clips, part.n_failed, row["n_again"], row["errors"])


def _run(
    clips: ClipList, task: Task, results: Results, cluster: Cluster, workers: Workers
) -> Iterator[dict[str, Any]]:
    """Yield what ``_Worker`` makes of each part, in any order."""
    ray = load_ray()
    # On no CPU, so that the parts are read however many processes there are; here, where the list
    # may be a file of this machine.
    on_no_cpu = {"num_cpus": 0, "resources": {cluster.here: 0.001}}
    attempts = ray.remote(**on_no_cpu)(Attempts).remote()
    listed = {"clips": clips, "sizes": task.sizes, "done": results.finished, "folder": str(results)}
    own = {"task": task, "clips": clips, "attempts": attempts, "jobs": workers.n_cpus}
    pool = ray.data.ActorPoolStrategy(
        size=workers.number, max_tasks_in_flight_per_actor=_N_IN_FLIGHT
    )
    data = ray.data.from_items([{"start": 0}], override_num_blocks=1)
    # A block a part, however small.
    data.context.target_max_block_size = data.context.target_min_block_size = 1
    data.context.print_on_execution_start = data.context.enable_progress_bars = False
    data = data.map_batches(
        _read_parts, batch_size=1, batch_format="pyarrow", fn_kwargs=listed, **on_no_cpu
    ).map_batches(
        _Worker,
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=workers.n_cpus,
        num_gpus=workers.n_gpus or None,
        compute=pool,
        fn_constructor_kwargs=own,
    )
    try:
        for batch in data.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=0):
            yield from batch.to_pylist()
    except ray.exceptions.RayError as error:
        raise as_own_error(error) from error


def as_own_error(error: BaseException) -> SpeechclsError:
    """Return the error of ours that one of Ray's came from, or one that says what Ray says."""
    cause: BaseException | None = error
    while cause is not None:
        own = getattr(cause, "cause", cause)  # Ray's class of it takes no more than a text
        if isinstance(own, SpeechclsError):
            return type(own)(own.message, own.details, field=own.field)
        cause = getattr(cause, "cause", None) or cause.__cause__ or cause.__context__
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    if match := _OWN.fullmatch(reason):  # of a process that could not begin, a text is left
        kind: type[SpeechclsError] = getattr(errors, match[1])
        return kind(match[2])
    return ClusterError(
        f"the cluster failed ({type(error).__name__}: {reason}); start this again to go on"
    )


def _read_parts(
    start: Any, clips: ClipList, sizes: PartSizes, done: dict[int, Part], folder: str
) -> Iterator[Any]:
    """Yield the parts of the list that are not done, a table of one row each, and its end."""
    listed, row, number = clips.paths(), 0, 0
    for number, size in enumerate(sizes):
        paths = list(itertools.islice(listed, size))
        if not paths:
            break
        digest = digest_of(map(os.fsencode, map(clips.resolve, paths)))
        if number in done:
            check_same(folder, number, done[number], digest)
        else:
            names = [os.fsencode(path) for path in paths]
            yield _row(number=number, first_row=row, digest=digest, names=names)
        row += len(paths)
    yield _row(number=number, first_row=row, digest="", names=[])


def _row(**values: Any) -> Any:
    """Return a table of pyarrow with one row."""
    import pyarrow as pa

    types = {
        "names": pa.list_(pa.binary()),
        "content": pa.binary(),
        "errors": pa.list_(pa.string()),
    }
    return pa.table({name: pa.array([v], types.get(name)) for name, v in values.items()})


class _Worker:
    """A process of the cluster, which makes one part after the other.

    Parameters
    ----------
    attempts : actor of the class ``Attempts``
    """

    def __init__(self, task: Task, clips: ClipList, attempts: Any, jobs: int) -> None:
        self._task, self._clips = task, clips
        self._attempts = attempts
        self._scorer = task.open(jobs)

    def __call__(self, batch: Any) -> Any:
        """Return the file of the part in ``batch``, a table of one row, and what is in it."""
        [part] = batch.to_pylist()
        paths = [os.fsdecode(name) for name in part["names"]]
        about = {"number": part["number"], "digest": part["digest"], "n_clips": len(paths)}
        if not paths:
            return _row(**about, n_failed=0, n_again=0, errors=[], content=None)
        each = list(dict.fromkeys(paths))
        of_each = dict(zip(each, self._score(part["number"], each), strict=True))
        outcomes = [of_each[path] for path in paths]
        table = self._scorer.table(part["first_row"], paths, outcomes)
        errors = [error for outcome in outcomes if (error := error_of(outcome)) is not None]
        content = part_bytes(table, Part(part["digest"], len(paths), len(errors)))
        return _row(
            **about,
            n_failed=len(errors),
            n_again=len(paths) - len(each),
            errors=[text.encode("utf-8", "backslashreplace").decode() for text in errors[:_N_TOLD]],
            content=content,
        )

    def _score(self, number: int, paths: list[str]) -> list[Any]:
        """Return what each recording comes to; one by one where a process died of one of them."""
        to_skip = self._call("begin", number)
        is_here = os.getcwd() == self._clips.folder  # noqa: PTH109 - and paths are as in the list
        places = paths if is_here else [self._clips.resolve(path) for path in paths]
        if to_skip is None:
            outcomes = list(self._scorer.score(fetched(places, self._task.n_ahead)))
        else:
            outcomes = []
            for index, place in enumerate(places):
                if index in to_skip:
                    outcomes.append(_deadly(place))
                else:
                    self._call("reading", number, index)
                    outcomes += self._scorer.score(fetched([place], 1))
        self._call("end", number)
        return outcomes

    def _call(self, method: str, *arguments: Any) -> Any:
        import ray

        call: Callable[..., Any] = getattr(self._attempts, method).remote
        return ray.get(call(*arguments))


def _deadly(place: str) -> AudioError:
    return AudioError(
        f"{place}: the process that reads it dies of it; leave it out, or convert it to WAV"
    )
