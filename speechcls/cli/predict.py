"""``speechcls predict``."""

import io
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TextIO

import typer

from speechcls.cli.cluster import LOCAL, score_on_cluster, uses_cluster
from speechcls.cli.common import FAILED, refuse, reports_errors
from speechcls.cli.inputs import find_model, listed_paths, open_stdin, read_shard
from speechcls.cli.messages import Messages
from speechcls.cli.options import (
    MODEL,
    OUTPUT,
    Address,
    AsCsv,
    AsJsonLines,
    Channel,
    Device,
    Engine,
    FilesFrom,
    Jobs,
    Model,
    Null,
    Quiet,
    Raw,
    Verbose,
    Workers,
    format_option,
    option,
    out_option,
)
from speechcls.cli.outputs import check_output, format_name, local_file, open_output
from speechcls.cli.progress import item_bar
from speechcls.cli.resume import Resume, open_resumable
from speechcls.errors import AudioError, DatasetError, SpeechclsError
from speechcls.labels import is_command, list_names
from speechcls.runtime.writers import (
    PREDICTION_FORMATS,
    choose_opener,
    pack_outcome,
    unpack_outcome,
)
from speechcls.storage.places import SHARDS, is_address
from speechcls.text import without_credentials

if TYPE_CHECKING:
    from speechcls.artifact.format import Artifact
    from speechcls.cluster.tasks import PredictTask
    from speechcls.journal import Journal, Key
    from speechcls.runtime.classifier import Classifier, Prediction
    from speechcls.runtime.writers import WritePrediction
    from speechcls.storage.ahead import Ahead

_CLIPS = typer.Argument(
    help="Recordings, folders or shards of them, or - for one on stdin.", metavar="CLIP..."
)
_THRESHOLD = option(
    "--threshold",
    min=0.0,
    max=1.0,
    help="Predict _uncertain_ below this probability. With a model of two labels: predict the"
    " second label from this probability on, else the first.",
    panel=MODEL,
)
_TOP_K = option(
    "--top-k",
    min=1,
    help="Labels to print, likeliest first. [default: 1, in JSON all]",
    panel=OUTPUT,
)
_OUT = out_option("File to write instead of stdout; with --engine ray the folder of the results.")


_NOT_ON_CLUSTER = "top_k", "format", "as_json", "as_csv", "raw", "resume", "jobs"


class _OutputOptions(NamedTuple):
    """What is written about each recording, and where."""

    open_writer: "Callable[[TextIO, int | None], WritePrediction]"
    top_k: int | None
    out: Path | None


class _Counts(NamedTuple):
    """Recordings, those that failed, and those that are taken for a word."""

    n_done: int
    n_failed: int
    n_words: int


class _Stdin(io.BytesIO):
    """The content of stdin, with its name in messages."""

    name = "-"


_LONG_S = 5.0
"""Recordings that last longer than this are hardly one word."""
_N_KNOWN = 4_096
"""Predictions that are kept for recordings which a list names again."""
_Source = str | _Stdin | SpeechclsError
"""A recording by its path or from stdin, or an error for a name without a recording."""


@reports_errors
def predict(
    ctx: typer.Context,
    clips: Annotated[list[str] | None, _CLIPS] = None,
    files_from: FilesFrom = None,
    null: Null = False,
    channel: Channel = None,
    model: Model = None,
    threshold: Annotated[float | None, _THRESHOLD] = None,
    device: Device = "cpu",
    top_k: Annotated[int | None, _TOP_K] = None,
    format: Annotated[str, format_option(PREDICTION_FORMATS)] = "tsv",
    as_json: AsJsonLines = False,
    as_csv: AsCsv = False,
    raw: Raw = False,
    out: Annotated[str | None, _OUT] = None,
    resume: Resume = False,
    jobs: Jobs = None,
    engine: Engine = LOCAL,
    address: Address = None,
    workers: Workers = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Classify recordings of one word each.

    Prints path, label and probability, separated by tabs, one line per recording, in the order
    given. A recording that cannot be used is reported on stderr; the others are still processed,
    and the exit code is 1. With --out, FILE.resume keeps what is done until the end.

    Example: speechcls predict clip.wav
    """
    if uses_cluster(ctx, engine):
        return _predict_on_cluster(ctx, model, clips, threshold, channel, device)
    file = local_file(out)
    format = format_name(ctx, format, as_json, as_csv)
    open_writer = choose_opener(PREDICTION_FORMATS, format, raw)  # refused before anything is read
    _check_usage(ctx, clips or [], files_from, file)

    from speechcls.runtime.classifier import Classifier

    messages = Messages(quiet, verbose)
    classifier = Classifier.load(path := find_model(model, messages), jobs, device)
    sources: Iterable[_Source] = _sources(clips or [], files_from, null, messages)
    # In a terminal the printed predictions show the progress.
    is_wanted = bool(file) or not sys.stdout.isatty()
    is_short = files_from is None or Path(files_from).is_file()
    if messages.shows_progress and is_wanted and is_short and "-" not in (clips or []):
        sources = list(sources)
    n_clips = len(sources) if isinstance(sources, list) else None
    output = _OutputOptions(open_writer, top_k, file)
    kept = None if "-" in (clips or []) else file  # stdin cannot be read again
    settings = {"device": device, "threshold": threshold, "channel": channel}
    with open_resumable(kept, resume, [path], messages, settings) as journal:
        is_list = files_from not in (None, "-")  # what stdin names again may have changed
        outcomes = _classify(classifier, sources, threshold, channel, journal, is_list)
        counts = _write(outcomes, n_clips, output, is_wanted, messages)
    if not counts.n_done:
        messages.warn(f"{files_from}: names no recording")
    _finish(counts, clips or [], model, classifier.labels, messages)


def _finish(
    counts: _Counts,
    clips: list[str],
    model: Path | None,
    labels: Sequence[str],
    messages: Messages,
) -> None:
    if model is None and counts.n_done > counts.n_failed and not counts.n_words:
        words = list_names([label for label in labels if is_command(label)])
        messages.note(f"none is a word of the model ({words}); name another one with --model")
    if counts.n_failed:
        raise typer.Exit(FAILED)
    if clips and clips[0] != "-":
        step = "evaluate" if Path(clips[0]).is_dir() else "explain"
        own = ("--model", model) if model else ()
        messages.next_steps((step, without_credentials(clips[0]), *own), in_scripts=False)


def _check_usage(
    ctx: typer.Context, clips: list[str], files_from: str | None, out: Path | None
) -> None:
    if not clips and files_from is None:
        raise typer.BadParameter("name a recording, a folder, - for stdin, or use --files-from")
    if files_from == "-" and "-" in clips:
        raise typer.BadParameter("stdin cannot be both a recording and the list of files")
    if files_from is None:
        refuse(ctx, ["null"], "without --files-from")
    check_output(out, [*clips, *([files_from] if files_from else [])])


def _predict_on_cluster(
    ctx: typer.Context,
    model: Path | None,
    clips: list[str] | None,
    threshold: float | None,
    channel: int | None,
    device: str,
) -> None:
    def make_task(artifact: "Artifact", messages: Messages) -> "PredictTask":
        from speechcls.cluster.tasks import PredictTask

        return PredictTask(artifact, threshold, channel, device)

    score_on_cluster(ctx, model, clips, _NOT_ON_CLUSTER, make_task)


def _classify(
    classifier: "Classifier",
    sources: Iterable[_Source],
    threshold: float | None,
    channel: int | None,
    journal: "Journal",
    is_list: bool,
) -> "Iterator[tuple[_Source, Prediction | SpeechclsError]]":
    """Yield every recording with its prediction or error, those in the journal from there.

    Parameters
    ----------
    is_list : whether recordings may be named again and again, which are predicted once
    """
    from speechcls.storage.ahead import fetch_ahead
    from speechcls.storage.settings import storage_settings

    def compute(rest: Iterator[_Source]) -> "Iterator[Prediction | SpeechclsError]":
        known: dict[str, Prediction] = {}
        keys, taken = deque[str](), deque["Ahead[_Source | Prediction]"]()

        def recall() -> "Iterator[_Source | Prediction]":
            for source in rest:
                keys.append(repr(_key_of(source)) if is_list else "")
                yield known.get(keys[-1], source)

        def take(fetched: "Iterator[Ahead[_Source | Prediction]]") -> "Iterator[Any]":
            for each in fetched:
                taken.append(each)
                yield each.local

        with fetch_ahead(recall(), storage_settings().parallel) as fetched:
            clips = take(fetched)
            for _, outcome in classifier.predict_many(clips, None, threshold, channel):
                key, each = keys.popleft(), taken.popleft()
                each.drop()
                if isinstance(outcome, AudioError):
                    outcome = AudioError(each.named(str(outcome)))
                elif is_list and not isinstance(outcome, SpeechclsError):
                    known[key] = outcome
                    if len(known) > _N_KNOWN:
                        del known[next(iter(known))]
                yield outcome

    return journal.run(sources, _key_of, compute, pack_outcome, unpack_outcome)


def _write(
    outcomes: "Iterable[tuple[_Source, Prediction | SpeechclsError]]",
    n_clips: int | None,
    output: _OutputOptions,
    is_wanted: bool,
    messages: Messages,
) -> _Counts:
    """Write the prediction for each recording; return how many came to what.

    Parameters
    ----------
    n_clips : how many there are, if that is known
    is_wanted : whether a progress bar may be shown
    """
    n_done = n_failed = n_long = n_words = 0
    with (
        open_output(output.out) as (stream, keep),
        item_bar(messages, "predicting", n_clips, is_wanted) as on_clip,
    ):
        write = output.open_writer(stream, output.top_k)
        for clip, outcome in outcomes:
            on_clip()
            n_done += 1
            if isinstance(outcome, SpeechclsError):
                n_failed += 1
                messages.error(str(outcome))
                continue
            keep()
            name = without_credentials(clip) if isinstance(clip, str) else "-"
            write(name, outcome)
            n_words += is_command(outcome.label)
            stream.flush()
            for note in outcome.notes:
                messages.warn(f"{name}: {note}")
            n_long += outcome.is_part and (outcome.clip_duration_s or 0.0) > _LONG_S
            if outcome.is_part:
                messages.detail(
                    f"{name}: lasts {outcome.clip_duration_s:.2f} s; its loudest part was"
                    f" classified, from {outcome.start_s:.2f} s"
                )
    if n_long:
        lasts = "1 recording lasts" if n_long == 1 else f"{n_long} recordings last"
        messages.warn(
            f"{lasts} longer than {_LONG_S:g} s: only the loudest part of each was classified;"
            " speechcls detect finds every word"
        )
    return _Counts(n_done, n_failed, n_words)


def _key_of(source: _Source) -> "Key":
    """Return what tells a recording from the other ones, and from what it was before."""
    from speechcls.journal import key_of_file

    if not isinstance(source, str):
        return [str(source)]
    if local := getattr(source, "local", None):  # of one in a shard
        return [source, *key_of_file(local)[1:]]
    if not is_address(source):
        return key_of_file(source)
    entry = getattr(source, "entry", None)  # of one that was listed
    return [without_credentials(source), *([entry.size, entry.stamp] if entry else [])]


def _sources(
    clips: list[str], files_from: str | None, is_null: bool, messages: Messages
) -> Iterator[_Source]:
    """Yield every recording that is named."""
    for clip in clips:
        if clip == "-":
            with open_stdin() as stdin:
                yield _Stdin(stdin.read())
        elif clip.lower().endswith(SHARDS) and not os.path.isdir(clip):  # noqa: PTH112 - as below
            yield from read_shard(clip)
        elif is_address(clip):
            yield from _at_address(clip, messages)
        elif os.path.isdir(clip):  # noqa: PTH112 - pathlib's raises for some names
            yield from _in_folder(clip, messages)
        else:
            yield clip
    if files_from is not None:
        yield from listed_paths(files_from, is_null, messages)


def _in_folder(folder: str, messages: Messages) -> Iterator[str | SpeechclsError]:
    """Yield each recording in a folder; say what else is there."""
    from speechcls.layouts.examples import describe_others, find_recordings

    problems: list[DatasetError] = []
    others: list[Path] = []
    n_found = 0
    for recording in find_recordings(Path(folder), problems.append, on_other=others.append):
        while problems:
            yield problems.pop(0)
        n_found += 1
        yield str(recording)
    if not n_found and not problems:
        problems.append(DatasetError(f"{folder}: no recording in this folder; name another"))
    yield from problems
    if text := describe_others(Path(folder), others):
        messages.note(text)


def _at_address(folder: str, messages: Messages) -> Iterator[str]:
    """Yield the recording at an address, or each one below it, by the endings of their names."""
    from speechcls.audio.sniff import SUFFIXES
    from speechcls.layouts.examples import may_hold_clips
    from speechcls.storage.addresses import list_address
    from speechcls.storage.ahead import Address

    if PurePosixPath(folder.partition("?")[0]).suffix.lower() in SUFFIXES:
        yield folder
        return
    left_out = Counter[str]()
    n_found = 0
    for entry in list_address(folder):
        path = PurePosixPath(entry.address.removeprefix(folder))
        if not all(map(may_hold_clips, path.parts)):
            continue
        if PurePosixPath(entry.address).suffix.lower() in SUFFIXES:
            n_found += 1
            yield Address(entry)
        else:
            left_out[path.suffix.lower() or "without ending"] += 1
    shown = without_credentials(folder)
    if not n_found:
        raise DatasetError(f"{shown}: no recording in this folder; name another")
    if counts := ", ".join(f"{n} {ending}" for ending, n in left_out.items()):
        messages.note(f"{shown}: files that are no recordings are left out: {counts}")
