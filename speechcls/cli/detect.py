"""``speechcls detect``."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TextIO

import typer

from speechcls.cli.cluster import LOCAL, score_on_cluster, uses_cluster
from speechcls.cli.common import FAILED, refuse, reports_errors
from speechcls.cli.inputs import (
    describe_rejection,
    expand_shards,
    find_model,
    listed_paths,
    open_stdin,
)
from speechcls.cli.messages import Messages
from speechcls.cli.options import (
    DETECTION,
    Address,
    AsCsv,
    AsJsonLines,
    Channel,
    Engine,
    FilesFrom,
    Labels,
    Model,
    Null,
    Quiet,
    Rate,
    Raw,
    Threshold,
    Verbose,
    Workers,
    format_option,
    option,
    out_option,
    split_names,
)
from speechcls.cli.outputs import check_output, format_name, local_file, open_output
from speechcls.cli.progress import recording_bar
from speechcls.cli.resume import Resume, open_resumable
from speechcls.cli.saved_events import SaveEvents, saving_events
from speechcls.config import DEFAULT_EVERY_S, EventSettings
from speechcls.errors import AudioError, ConfigError, SpeechclsError, StorageError
from speechcls.runtime.writers import EVENT_FORMATS, choose_format, choose_opener
from speechcls.text import without_credentials

if TYPE_CHECKING:
    from speechcls.artifact.format import Artifact
    from speechcls.audio.blocks import BlockReader
    from speechcls.cluster.tasks import DetectTask
    from speechcls.journal import Journal
    from speechcls.live.recorder import EventRecorder
    from speechcls.runtime.detection import Event
    from speechcls.runtime.streaming import StreamingClassifier
    from speechcls.runtime.writers import WriteEvent
    from speechcls.storage.ahead import Ahead

DEFAULTS = EventSettings()
_N_AHEAD = 2
"""Recordings elsewhere that are fetched at once: they may be long."""

_RECORDINGS = typer.Argument(help="Recordings, or - for one on stdin.", metavar="RECORDING...")
_EVERY = option(
    "--every",
    help="Time from one prediction to the next; not with a model that was trained with"
    " --streaming, which has its own.",
    panel=DETECTION,
    metavar="SECONDS",
)
_SMOOTHING = option(
    "--smoothing",
    help="Time over which probabilities are averaged.",
    panel=DETECTION,
    metavar="SECONDS",
)
_MIN_DURATION = option(
    "--min-duration",
    help="Time for which a word has to stay above its threshold.",
    panel=DETECTION,
    metavar="SECONDS",
)
_REFRACTORY = option(
    "--refractory",
    help="Of words closer to each other only the likeliest counts.",
    panel=DETECTION,
    metavar="SECONDS",
)
_OUT = out_option("File to write instead of stdout; with --engine ray the folder of the results.")
_NOT_ON_CLUSTER = "format", "as_json", "as_csv", "raw", "resume", "save_events"


class _ReadOptions(NamedTuple):
    """How recordings are read."""

    channel: int | None
    rate: int | None
    """Of sound without a header, Hz."""


class _DetectOptions(NamedTuple):
    """Arguments of ``StreamingClassifier``, in its order."""

    artifact: "Artifact"
    threshold: float | None
    labels: list[str] | None
    settings: EventSettings
    every_s: float


@reports_errors
def detect(
    ctx: typer.Context,
    recordings: Annotated[list[str] | None, _RECORDINGS] = None,
    files_from: FilesFrom = None,
    null: Null = False,
    channel: Channel = None,
    rate: Rate = None,
    model: Model = None,
    labels: Labels = None,
    threshold: Threshold = None,
    every_s: Annotated[float, _EVERY] = DEFAULT_EVERY_S,
    smoothing_s: Annotated[float, _SMOOTHING] = DEFAULTS.smoothing_s,
    min_s: Annotated[float, _MIN_DURATION] = DEFAULTS.min_s,
    refractory_s: Annotated[float, _REFRACTORY] = DEFAULTS.refractory_s,
    format: Annotated[str, format_option(EVENT_FORMATS)] = "tsv",
    as_json: AsJsonLines = False,
    as_csv: AsCsv = False,
    raw: Raw = False,
    out: Annotated[str | None, _OUT] = None,
    resume: Resume = False,
    save_events: SaveEvents = None,
    engine: Engine = LOCAL,
    address: Address = None,
    workers: Workers = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Detect words in long recordings.

    Prints path, start and end in seconds, label and probability, separated by tabs, one line per
    word, as soon as it is known. Recordings may have any length, sample rate and number of
    channels. One that cannot be used, or not to its end, is reported on stderr; the others are
    still processed, and the exit code is 1. With --out, FILE.resume keeps the recordings that are
    done until the end. Where --save-events cannot write, detection goes on, and the code is 1.

    Example: speechcls detect recording.wav
    """
    if uses_cluster(ctx, engine):
        score_on_cluster(ctx, model, recordings, _NOT_ON_CLUSTER, partial(_cluster_task, ctx))
        return
    if not recordings and files_from is None:
        raise typer.BadParameter("name a recording, - for stdin, or use --files-from")
    file = local_file(out)
    format = format_name(ctx, format, as_json, as_csv)
    messages = Messages(quiet, verbose)
    names, n_without = _named(ctx, recordings or [], files_from, messages)
    _check_usage(ctx, names, format, file)
    sink = choose_opener(EVENT_FORMATS, format, raw), file, resume, save_events
    if _detect_here(ctx, model, names, sink, messages) or n_without:
        raise typer.Exit(FAILED)


def _named(
    ctx: typer.Context, recordings: list[str], files_from: str | None, messages: Messages
) -> tuple[list[str], int]:
    """Return the names of all recordings, also of those in a list, and how many rows have none."""
    if files_from is None:
        refuse(ctx, ["null"], "without --files-from")
        return recordings, 0
    if files_from == "-" and "-" in recordings:
        raise typer.BadParameter("stdin cannot be both a recording and the list of files")
    listed = list(listed_paths(files_from, ctx.params["null"], messages))
    if not listed:
        messages.warn(f"{files_from}: names no recording")
    names = [each for each in listed if isinstance(each, str)]
    messages.errors(str(each) for each in listed if not isinstance(each, str))
    return [*recordings, *names], len(listed) - len(names)


def _detection(ctx: typer.Context, artifact: "Artifact", messages: Messages) -> _DetectOptions:
    """Return how a model detects, as the command line says; what it cannot is refused."""
    from speechcls.runtime.detection import choose_thresholds

    params = ctx.params
    if artifact.network.is_streaming:
        refuse(ctx, ["every_s"], "with a model that was trained with --streaming")
    threshold, names = params["threshold"], split_names("labels", params["labels"]) or None
    settings = EventSettings(params["smoothing_s"], params["min_s"], params["refractory_s"])
    choose_thresholds(artifact, threshold, names)
    messages.note(describe_rejection(artifact, threshold))
    return _DetectOptions(artifact, threshold, names, settings, params["every_s"])


def _cluster_task(ctx: typer.Context, artifact: "Artifact", messages: Messages) -> "DetectTask":
    from speechcls.cluster.tasks import DetectTask

    reading = ctx.params["channel"], ctx.params["rate"]
    _check_reading(ctx)
    return DetectTask(*_detection(ctx, artifact, messages), *reading)


def _detect_here(
    ctx: typer.Context,
    model: Path | None,
    recordings: list[str],
    sink: "tuple[Callable[[TextIO], WriteEvent], Path | None, bool, Path | None]",
    messages: Messages,
) -> int:
    """Detect the words in each recording in this process; return how many things failed.

    Parameters
    ----------
    sink : what opens a writer, the file to write, whether to go on with it, where events are kept
    """
    from speechcls.artifact.store import load_artifact

    open_writer, out, resume, save_events = sink
    artifact = load_artifact(find_model(model, messages))
    detection = _detection(ctx, artifact, messages)
    reading = _ReadOptions(ctx.params["channel"], ctx.params["rate"])
    kept = None if "-" in recordings else out  # stdin cannot be read again
    own: dict[str, Any] = {"threshold": detection.threshold, "labels": detection.labels}
    own["every_s"] = detection.every_s
    own["save_events"] = save_events and str(save_events)
    decisive = own | reading._asdict() | detection.settings.to_dict()
    with (
        open_resumable(kept, resume, [artifact.path], messages, decisive) as journal,
        saving_events(save_events, artifact, detection.settings, messages) as recorder,
    ):
        outputs = open_writer, out, journal, recorder, messages
        n_failed = _detect(recordings, reading, detection, *outputs)
    if recorder is None and not n_failed and "-" not in recordings:
        words = "detect", without_credentials(recordings[0]), "--save-events", "kept"
        messages.next_steps(words, in_scripts=False)
    return n_failed + (0 if recorder is None else recorder.n_failed)


@dataclass
class _Found:
    """What a recording came to, in the journal as in memory."""

    events: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    is_readable: bool = False
    """At least its beginning."""


def _detect(
    recordings: list[str],
    reading: _ReadOptions,
    detection: _DetectOptions,
    open_writer: "Callable[[TextIO], WriteEvent]",
    out: Path | None,
    journal: "Journal",
    recorder: "EventRecorder | None",
    messages: Messages,
) -> int:
    """Write the words of each recording; return how many recordings failed."""
    from speechcls.journal import key_of_file
    from speechcls.runtime.detection import Event
    from speechcls.storage.ahead import fetch_ahead

    n_failed, problems = 0, list[str]()
    names = expand_shards(recordings, problems.append)
    with open_output(out) as (stream, keep):
        write_event = open_writer(stream)

        def write(name: str, events: list[Event]) -> None:
            for event in events:
                write_event(name, event)
            if events:
                stream.flush()

        for name, content in journal.replay(names, key_of_file):
            found = _Found(**content)
            write(name, [Event(**event) for event in found.events])
            _report(name, found, messages)
            n_failed += found.error is not None
            if found.is_readable:
                keep()
        with fetch_ahead(names, _N_AHEAD) as fetched:
            for each in fetched:
                key, found = key_of_file(each.source), _Found()
                if recorder is not None:
                    name = without_credentials(each.source)
                    recorder.start("stdin" if name == "-" else name, is_file=name != "-")
                _detect_in(
                    each, reading, detection, found, write, keep, recorder, bool(out), messages
                )
                each.drop()
                n_failed += found.error is not None
                journal.add(key, vars(found))
    messages.errors(problems)
    return n_failed + len(problems)


def _detect_in(
    each: "Ahead[str]",
    reading: _ReadOptions,
    detection: _DetectOptions,
    found: _Found,
    write: "Callable[[str, list[Event]], None]",
    keep: Callable[[], None],
    recorder: "EventRecorder | None",
    is_wanted: bool,
    messages: Messages,
) -> None:
    """Write the words of a recording as they are found, and keep them in ``found``."""
    from speechcls.audio.blocks import open_recording
    from speechcls.runtime.streaming import StreamingClassifier

    def on_events(events: "list[Event]") -> None:
        found.events += map(vars, events)
        write(name, events)

    name = without_credentials(each.source)
    classifier = StreamingClassifier(*detection)
    is_wanted |= not sys.stdout.isatty()  # in a terminal the printed words show the progress
    recording = None
    try:
        if isinstance(each.local, SpeechclsError):
            raise each.local
        with (
            open_stdin() if name == "-" else nullcontext(each.local) as source,
            open_recording(source, classifier.sample_rate, *reading, name) as recording,
            recording_bar(messages, name, recording.duration_s, is_wanted) as advance,
        ):
            keep()
            found.is_readable = True
            _run(recording, classifier, on_events, recorder, advance)
    except (AudioError, StorageError) as error:
        found.error = each.named(str(error))
    finally:
        found.notes = recording.notes if recording else []
        _report(name, found, messages)


def _report(name: str, found: _Found, messages: Messages) -> None:
    for note in found.notes:
        messages.warn(f"{name}: {note}")
    if found.error is not None:
        messages.error(found.error)


def _check_usage(ctx: typer.Context, recordings: list[str], format: str, out: Path | None) -> None:
    if choose_format(EVENT_FORMATS, format).single_recording and len(recordings) > 1:
        raise ConfigError(f"{format} describes one recording; name only one", field="format")
    if recordings.count("-") > 1:
        raise typer.BadParameter("stdin is one recording; name - once")
    _check_reading(ctx)
    check_output(out, recordings)


def _check_reading(ctx: typer.Context) -> None:
    if ctx.params["rate"] is not None:
        refuse(ctx, ["channel"], "with --rate, whose sound has one channel")


def _run(
    recording: "BlockReader",
    classifier: "StreamingClassifier",
    write: "Callable[[list[Event]], None]",
    recorder: "EventRecorder | None",
    advance: Callable[[float], None],
) -> None:
    """Write the events of a recording as they are found, also those before it breaks off."""

    def finish() -> None:
        events = classifier.finish()
        write(events)
        if recorder is not None:
            recorder.finish(events)

    fault = None
    try:
        for block in recording.blocks():
            events = classifier.feed(block)
            write(events)
            if recorder is not None:
                recorder.push(block, events)
            advance(len(block) / classifier.sample_rate)
    except KeyboardInterrupt:
        finish()
        raise
    except AudioError as error:
        fault = error
    finish()
    if fault:
        raise fault
