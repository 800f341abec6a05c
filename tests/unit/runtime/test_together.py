"""Streams that share runs of the network: each gives what it gives alone, whatever others do."""

import numpy as np
import pytest
from pytest import approx

from speechcls import StreamingClassifier
from speechcls.artifact.store import load_artifact
from speechcls.audio.samples import to_float
from speechcls.deployment.check import made_clips
from speechcls.errors import ArtifactError
from speechcls.runtime.session import Session
from speechcls.runtime.streaming import advance_together

MODELS = {
    "many": "models/commands-stream",
    "one": "tests/compat/format-2-stream",  # written when a graph took one stream
    "windows": "models/commands-tiny",
}
OPTIONS = (
    {"threshold": 0.05, "eager": True},
    {"threshold": 0.3},
    {"labels": "first", "threshold": 0.05},
    {"eager": True, "sample_rate": 8_000, "threshold": 0.1},
    {"threshold": 1.0},
)
STEP_S = 0.04
MARK = np.float32(0.777)


@pytest.fixture(scope="module", params=MODELS)
def artifact(request):
    return load_artifact(request.config.rootpath / MODELS[request.param])


@pytest.fixture(scope="module")
def many(request):
    return load_artifact(request.config.rootpath / MODELS["many"])


def sounds(artifact, n, seconds=6.0):
    """Sounds (n, n_samples) that a model gives various answers to."""
    samples = to_float(made_clips(artifact, 64).windows).reshape(-1)
    return [np.roll(samples, 37_777 * i)[: round(seconds * 16_000)] for i in range(n)]


def open_streams(artifact, n, session=None):
    streams = []
    for i in range(n):
        options = dict(OPTIONS[i % len(OPTIONS)])
        if "labels" in options:
            options["labels"] = [artifact.labels[0]]
        streams.append(StreamingClassifier(artifact, session=session, **options))
        session = streams[0].session
    return streams


def plan(rng, samples, longest):
    """Pieces (n,) of a sound, some of them empty."""
    pieces, at = [], 0
    while at < len(samples):
        n = int(rng.integers(0, longest + 1))
        pieces.append(samples[at : at + n])
        at += n
    return pieces


def run_alone(stream, pieces):
    posteriors, events = [], []
    for piece in pieces:
        events += stream.feed(piece)
        posteriors.append(stream.posterior)
    return [*posteriors], events + stream.finish()


def run_together(streams, plans, starts):
    """What ``run_alone`` gives of each stream, which begins at a turn of its own."""
    posteriors, events = [[] for _ in streams], [[] for _ in streams]
    for turn in range(max(start + len(p) for start, p in zip(starts, plans, strict=True)) + 1):
        taking = []
        for i, (stream, pieces) in enumerate(zip(streams, plans, strict=True)):
            at = turn - starts[i]
            if 0 <= at < len(pieces):
                stream.put(pieces[at])
            elif at == len(pieces):
                stream.put(np.empty(0, np.float32), is_last=True)
            else:
                continue
            taking.append(i)
        advance_together([streams[i] for i in taking])
        for i in taking:
            events[i] += streams[i].take()
            if turn - starts[i] < len(plans[i]):
                posteriors[i].append(streams[i].posterior)
    return posteriors, events


def check_equal(found, alone, tolerance):
    for (rows, events), (own_rows, own_events) in zip(found, alone, strict=True):
        assert len(rows) == len(own_rows)
        for row, own in zip(rows, own_rows, strict=True):
            assert (row is None) == (own is None)
            if row is not None:
                np.testing.assert_allclose(row, own, rtol=0, atol=tolerance)
        assert [event.label for event in events] == [event.label for event in own_events]
        for event, own in zip(events, own_events, strict=True):
            assert (event.start_s, event.end_s) == approx((own.start_s, own.end_s), abs=1e-4)
            assert event.probability == approx(own.probability, abs=tolerance)


@pytest.mark.parametrize(
    ("longest_s", "tolerance"),
    [(STEP_S, 1e-6), (2.5, 1e-5)],  # pieces of many steps are cut otherwise: other sums
)
def test_streams_that_come_and_go_are_each_as_alone(longest_s, tolerance, artifact):
    n = 7
    rng = np.random.default_rng(0)
    streams, alone = open_streams(artifact, n), open_streams(artifact, n)
    seconds = 3.0 if longest_s < 1 else 6.0
    plans = [
        plan(rng, samples[:: 16_000 // stream.sample_rate], round(longest_s * stream.sample_rate))
        for samples, stream in zip(sounds(artifact, n, seconds), streams, strict=True)
    ]
    starts = rng.integers(0, len(plans[0]), n).tolist()
    found = zip(*run_together(streams, plans, starts), strict=True)
    expected = [run_alone(stream, pieces) for stream, pieces in zip(alone, plans, strict=True)]
    check_equal(found, expected, tolerance)
    assert sum(len(events) for _, events in expected) > 5
    assert np.ptp([rows[-1].max() for rows, _ in expected]) > 0.05  # sounds differ


@pytest.mark.parametrize(
    ("model", "n_streams", "expected"),
    [("many", 5, [5]), ("many", 72, [32, 32, 8]), ("one", 3, [1, 1, 1])],
)
def test_how_many_streams_a_run_takes(model, n_streams, expected, request, monkeypatch):
    artifact = load_artifact(request.config.rootpath / MODELS[model])
    first = StreamingClassifier(artifact)
    streams = [StreamingClassifier(artifact, session=first.session) for _ in range(n_streams)]
    batches, run = [], Session.run

    def count(self, names, inputs):
        batches.append(len(inputs["samples"]))
        return run(self, names, inputs)

    monkeypatch.setattr(Session, "run", count)
    for stream in streams:
        stream.put(np.zeros(round(stream.every_s * stream.sample_rate), np.int16))
    advance_together(streams)
    assert batches == expected


def test_who_has_more_to_catch_up_does_so_in_the_end(many):
    sound, *_ = sounds(many, 1, 3.0)
    streams = open_streams(many, 2)
    streams[0].put(sound[:640])
    streams[1].put(sound)
    advance_together(streams)
    for stream, n in zip(streams, (640, len(sound)), strict=True):
        alone = StreamingClassifier(many, session=stream.session)
        alone.feed(sound[:n])
        stream.take()
        np.testing.assert_allclose(stream.posterior, alone.posterior, rtol=0, atol=1e-5)


def test_sound_that_cannot_be_run_fails_its_own_stream_alone(many, monkeypatch):
    run = Session.run

    def fail(self, names, inputs):
        if (inputs["samples"] == MARK).any():
            raise ArtifactError("stream.onnx: its outputs are no probabilities")
        return run(self, names, inputs)

    monkeypatch.setattr(Session, "run", fail)
    n = 5
    streams, alone = open_streams(many, n), open_streams(many, n)
    own = sounds(many, n, 1.0)
    for i, (stream, single, samples) in enumerate(zip(streams, alone, own, strict=True)):
        stream.put(np.full(len(samples), MARK) if i == 2 else samples)
        single.feed(samples)
    advance_together(streams)
    for i, (stream, single) in enumerate(zip(streams, alone, strict=True)):
        if i == 2:
            with pytest.raises(ArtifactError, match="no probabilities"):
                stream.take()
        else:
            stream.take()
            np.testing.assert_allclose(stream.posterior, single.posterior, rtol=0, atol=1e-5)
