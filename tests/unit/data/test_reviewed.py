"""Judged events as training clips: what they count as, and that they move nothing else."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from common import assign, clips, load

from speechcls.config import FeatureConfig
from speechcls.data.corpus import load_corpus
from speechcls.data.reviewed import MISTAKE_REPEATS, add_reviewed
from speechcls.errors import DatasetError
from speechcls.layouts.examples import Dataset, Example
from speechcls.layouts.load import load_dataset
from speechcls.live.events import RIGHT, WRONG, EventFolder, SavedEvent, Verdict

RATE = 16_000


def keep(folder, samples, label="yes", verdict=None, probability=0.9, word_s=(1.0, 1.5)):
    """Keep an event and judge it; return its example's name."""
    n = len(folder.events)
    event = SavedEvent("0.wav", "mic", None, n, n + 0.5, *word_s, label, probability, "m", "")
    event = folder.add(event, samples, RATE)
    if verdict is not None:
        folder.judge(event.file, verdict)
    return event.file


def sound(n, seconds=2.5):
    """A chirp of its own, so that no two are copies."""
    rng = np.random.default_rng(n)
    frequency = np.interp(
        np.linspace(0, 5, round(seconds * RATE)), range(6), rng.uniform(200, 4_000, 6)
    )
    return (0.5 * np.sin(2 * np.pi * np.cumsum(frequency) / RATE)).astype(np.float32)


@pytest.fixture
def kept(tmp_path):
    return EventFolder(tmp_path / "kept")


def test_what_was_said_decides_and_mistakes_are_drawn_more_often(kept):
    dataset = Dataset(Path("data"), clips(["ann", "bob"], ("no", "yes")))
    for n, (verdict, probability) in enumerate(
        [
            (Verdict(RIGHT), 0.9),
            (Verdict(WRONG), 0.9),
            (Verdict(WRONG, "no"), 0.9),
            (Verdict(WRONG, "left"), 0.9),  # no label of this training
            (Verdict(RIGHT), None),  # was missed
            (None, 0.9),
        ]
    ):
        keep(kept, sound(n), verdict=verdict, probability=probability)
    keep(kept, sound(9), label="left", verdict=Verdict(RIGHT))
    made = add_reviewed(dataset, kept.path)
    assert made.examples[:4] == dataset.examples
    new = made.examples[4:]
    assert [(e.label, e.repeats) for e in new] == [
        ("yes", 1),
        ("_unknown_", MISTAKE_REPEATS),
        ("no", MISTAKE_REPEATS),
        ("_unknown_", MISTAKE_REPEATS),
        ("yes", MISTAKE_REPEATS),
        ("_unknown_", MISTAKE_REPEATS),
    ]
    assert {(e.split, e.is_reviewed, e.start_s, e.end_s) for e in new} == {
        ("train", True, 0.75, 1.75)
    }
    assert made.notes == [f"{kept.path}: 1 events are not judged, and not used"]


def test_without_a_verdict_it_is_refused(kept, tmp_path):
    dataset = Dataset(Path("data"), clips(["ann", "bob"]))
    keep(kept, sound(0))
    for folder in (kept.path, tmp_path / "absent"):
        with pytest.raises(DatasetError, match=r"mistakes: .*: no judged event in it"):
            add_reviewed(dataset, folder)


def reviewed(n, label):
    """``n`` reviewed clips, of nobody."""
    one = {"split": "train", "is_reviewed": True, "repeats": MISTAKE_REPEATS}
    return [Example(Path(f"kept/{k}-{label}.wav"), label, **one) for k in range(n)]


@pytest.mark.parametrize(
    "examples",
    [
        clips([f"s{n}" for n in range(20)]),
        clips(["ann"], n=9),
        clips(["ann", "bob"], n=2),
        clips(["ann", "bob", "eve"]),
        clips(["ann"], n=2),
        clips(["ann", "bob"]),
        clips(["ann", "bob"], n=2, split="train"),
        clips(["ann"], n=2, split="train") + clips(["bob"], split="test"),
        clips(["ann", "bob"], n=6, split="train") + clips(["eve"], n=2, split="test"),
        [dataclasses.replace(e, speaker=None) for e in clips(["ann"], n=12)],
    ],
)
def test_they_only_train_and_move_no_other_clip(examples):
    alone = assign(examples)
    more = reviewed(30, "yes") + reviewed(30, "no") + reviewed(5, "_unknown_")
    both = assign(examples + more)
    assert both.names == alone.names + ["train"] * len(more)
    assert both.warnings == alone.warnings


def test_a_reviewed_copy_of_a_held_out_clip_does_not_train():
    examples = clips([f"s{n}" for n in range(20)]) + reviewed(2, "yes")
    digests = [example.path.as_posix() for example in examples]
    alone = assign(examples[:40])
    held_out = next(i for i, name in enumerate(alone.names) if name == "test" and i % 2)
    digests[40] = digests[held_out]
    splits = assign(examples, digests)
    assert splits.names == [*alone.names, "unused", "train"]
    # not even where it is the only clip of its label that would train
    examples[40:] = reviewed(1, "_unknown_")
    assert assign(examples, digests[:41]).names == [*alone.names, "unused"]


@pytest.fixture
def data(tmp_path, make_data):
    return make_data(tmp_path / "data", ("no", "yes"), 24)


def corpus_of(data, kept, **options):
    return load_corpus(add_reviewed(load_dataset(data), kept.path), FeatureConfig(), **options)


def test_the_corpus_has_them_as_other_clips(data, kept):
    for n in range(3):
        keep(kept, sound(n), verdict=Verdict(WRONG))
    keep(kept, sound(3), verdict=Verdict(WRONG, "no"))
    alone, corpus = load(data), corpus_of(data, kept)
    assert corpus.labels == ("no", "yes", "_unknown_")
    assert corpus.summary() == (
        "3 labels, 52 clips by 8 speakers (34 train, 6 validation, 12 test),"
        f" 3 hard negatives, 1 word from {kept.path}, window 0.5 s"
    )
    assert alone.summary().endswith("(30 train, 6 validation, 12 test), window 0.5 s")
    # Clips of a second neither lengthen the window nor count as long takes.
    assert corpus.features.duration_s == alone.features.duration_s == 0.5
    assert corpus.long_takes is None
    assert corpus.split[:48].tolist() == alone.split.tolist()
    rows = corpus.rows[48:]
    assert [(row.path, row.label, row.split, row.start_s, row.end_s) for row in rows] == [
        ((kept.path / f"00000{n}-yes.wav").as_posix(), label, "train", 0.75, 1.75)
        for n, label in enumerate(["_unknown_"] * 3 + ["no"], start=1)
    ]
    assert corpus.repeats.tolist() == [1] * 48 + [MISTAKE_REPEATS] * 4


def test_a_part_of_a_held_out_recording_does_not_train(data, kept, write_wav):
    """The same sound in other surroundings, cut elsewhere: only its fingerprint tells."""
    dataset, corpus = load_dataset(data), load(data)
    for n, example in enumerate(dataset.examples):
        write_wav(example.path, sound(1_000 + n, 1.0))
    place = next(i for i, name in enumerate(corpus.split) if name == "test")
    held_out = dataset.examples[place]
    around = np.concatenate([np.zeros(11_111), sound(1_000 + place, 1.0), np.zeros(11_111)])
    keep(kept, around.astype(np.float32), held_out.label, Verdict(RIGHT), word_s=(0.95, 1.45))
    keep(kept, sound(1), verdict=Verdict(WRONG))
    after = corpus_of(data, kept)
    assert after.split[48:].tolist() == ["unused", "train"]
    assert "1 reviewed events are left out: the same sound is in a held-out split" in after.warnings


def test_a_wav_that_is_gone_is_told(data, kept):
    keep(kept, sound(0), verdict=Verdict(WRONG))
    gone = keep(kept, sound(1), verdict=Verdict(WRONG))
    (kept.path / gone).unlink()
    corpus = corpus_of(data, kept, max_bad=0.1)
    assert corpus.bad == [f"{kept.path / gone}: no such file; check the path"]
    assert len(corpus.rows) == 49
