"""Which split a clip was in, silence of the background, and one outcome for each example."""

from pathlib import Path

import numpy as np
import pytest

from speechcls.data.clips import digest_of, read_example
from speechcls.errors import AudioError
from speechcls.evaluation.compare import predict_held_out
from speechcls.evaluation.held_out import (
    NEW,
    Classified,
    classify_examples,
    describe_scored,
    prefer_test,
    silent_examples,
    split_in_training,
)
from speechcls.evaluation.score import evaluate
from speechcls.layouts.examples import Example
from speechcls.layouts.load import load_dataset
from speechcls.runtime.classifier import Classifier


class Doubler:
    """A classifier of windows (1,): ``factor`` times the sample; it remembers its batches."""

    def __init__(self, factor):
        self.factor, self.batches = factor, []

    def probabilities(self, windows):
        self.batches.append(len(windows))
        return self.factor * windows


def choose(i):
    """Every fifth item is not wanted, every seventh is bad."""
    if i % 5 == 0:
        return None
    if i % 7 == 0:
        raise AudioError(f"{i} is bad")
    return f"kept {i}", [np.array([float(i)]), np.array([-float(i)])]


@pytest.mark.parametrize(("jobs", "batch_size"), [(1, 1), (1, 64), (2, 8), (4, 3)])
def test_one_outcome_for_each_example_in_order(jobs, batch_size):
    twice, thrice, n_done = Doubler(2), Doubler(3), []
    outcomes = list(
        classify_examples(
            [twice, thrice], range(50), choose, jobs, batch_size, lambda: n_done.append(1)
        )
    )
    assert len(outcomes) == len(n_done) == 50
    for i, outcome in enumerate(outcomes):
        if i % 5 == 0:
            assert outcome is None
        elif i % 7 == 0:
            assert isinstance(outcome, AudioError)
            assert str(outcome) == f"{i} is bad"
        else:
            assert outcome.kept == f"kept {i}"
            assert [rows.tolist() for rows in outcome.probabilities] == [[2 * i], [-3 * i]]
    assert sum(twice.batches) == sum(thrice.batches) == 50 - 10 - 6  # 7, 14, 21, 28, 42 and 49
    assert max(twice.batches) <= batch_size


def test_examples_without_a_classifier_are_read_all_the_same():
    outcomes = list(classify_examples([], range(3), lambda i: (i, ()), 1, 8))
    assert outcomes == [Classified(0, ()), Classified(1, ()), Classified(2, ())]


def test_other_errors_than_those_of_recordings_are_raised():
    with pytest.raises(ZeroDivisionError):
        list(classify_examples([], [1, 0], lambda i: (1 // i, ()), 1, 8))


def test_the_split_of_a_clip_is_told_by_its_samples():
    pcm = np.arange(5, dtype=np.int16)
    known = {digest_of(pcm): "validation"}
    assert split_in_training(digest_of(pcm), Example("a.wav", "yes"), known) == "validation"
    assert (
        split_in_training(digest_of(pcm[1:]), Example("a.wav", "yes", split="train"), known) == NEW
    )
    # Cuts of noise say themselves where they belong, since all digital silence is alike.
    silent = np.zeros(5, dtype=np.int16)
    known |= {digest_of(silent): "test"}
    cut = Example("hum.wav", "_silence_", split="validation", gain=0.0)
    assert split_in_training(digest_of(silent), cut, known) == "validation"
    assert (
        split_in_training(digest_of(silent), Example("hum.wav", "_silence_", gain=0.0), known)
        == NEW
    )


@pytest.mark.parametrize(
    ("splits", "speakers", "scored", "caveat"),
    [
        ([NEW, "test", NEW], ["a", "b", ""],
         "2 clips not used in training, 1 clips of the test split", ""),
        (["train", "validation"], ["a", "b"],
         "1 clips of the train split, 1 clips of the validation split",
         "optimistically biased: the model was trained on some of these clips"),
        (["validation"] * 2, ["a", "a"], "2 clips of the validation split",
         "slightly optimistically biased: the best epoch was chosen on the validation clips; all"
         " clips are by one speaker: nothing is known about others"),
        (["unused"], [""], "1 copies of held-out clips", ""),
    ],
)  # fmt: skip
def test_scored_clips_in_words(splits, speakers, scored, caveat):
    assert describe_scored(splits, speakers) == (scored, caveat)


@pytest.fixture(scope="module")
def classifier(request):
    """A model with labels yes, no, ... , _unknown_ and _silence_."""
    return Classifier.load(request.config.rootpath / "models" / "commands-tiny", jobs=2)


@pytest.fixture
def dataset(tmp_path, make_data):
    """Tones called yes and no, that no training had, a bad recording of noise and a good one."""
    root = make_data(tmp_path / "data", ["yes", "no"], n=6, noise_s=4.0)
    (root / "_background_noise_" / "broken.wav").write_text("no sound")
    (root / "yes" / "broken.wav").touch()
    return load_dataset(root)


def test_bad_noise_is_returned_and_the_data_set_stays_as_it_was(classifier, dataset):
    before = repr(dataset)
    silent = silent_examples(classifier, dataset)
    assert [line.split(": ")[0] for line in silent.bad] == [str(dataset.noise[0])]
    assert len(silent.examples) == 6  # the mean of 7 and 6, rounded to even
    assert {example.path.name for example in silent.examples} == {"hiss.wav"}
    first, second = evaluate(classifier, dataset), evaluate(classifier, dataset)
    assert first.bad == second.bad
    assert len(first.bad) == 2
    assert repr(dataset) == before


def test_compare_of_three_models_names_a_bad_noise_file_once(classifier, dataset):
    joint = predict_held_out([classifier] * 3, dataset)
    names = [line.split(": ")[0] for line in joint.bad]
    root = dataset.root
    assert names == [str(root / "_background_noise_/broken.wav"), str(root / "yes/broken.wav")]
    assert dataset.problems == []
    alone = evaluate(classifier, dataset)
    words = [clip for clip in alone.clips if clip.example.label != "_silence_"]
    ours = [i for i, example in enumerate(joint.examples) if example.label != "_silence_"]
    assert [joint.examples[i] for i in ours] == [clip.example for clip in words]
    for row in joint.predicted:
        assert row[ours].tolist() == [clip.predicted for clip in words]


def test_levels_are_measured_only_where_they_are_wanted(classifier, dataset):
    plain, measured = (
        evaluate(classifier, dataset, measure_levels=wanted) for wanted in (False, True)
    )
    assert {clip.levels for clip in plain.clips} == {None}
    # A sine of amplitude 0.5 is at -9.03 dB, without the zeros that pad it to the window.
    tones = [clip for clip in measured.clips if clip.example.label != "_silence_"]
    assert [clip.levels.level_db for clip in tones] == pytest.approx([-9.03] * 12, abs=0.05)
    assert plain.scores.to_dict() == measured.scores.to_dict()
    for one, other in zip(plain.clips, measured.clips, strict=True):
        assert np.array_equal(one.probabilities, other.probabilities)


def test_an_evaluation_prints_readably(classifier, dataset):
    evaluation = evaluate(classifier, dataset)
    scores = evaluation.scores
    lines = str(evaluation).splitlines()
    assert lines[0] == "scored    18 clips not used in training by 6 speakers"
    assert lines[1].startswith(f"accuracy  {100 * scores.accuracy:.1f} % (95 % interval ")
    recalls = [row.recall for row in scores.per_label if row.n_clips]
    commands = recalls[:-1]  # the last one is silence
    assert lines[2] == (
        f"balanced  {100 * np.mean(recalls):.1f} %, the mean recall (of the 3 labels that occur);"
        f" {100 * np.mean(commands):.1f} % of the commands"
    )
    assert lines[3] == f"macro F1  {100 * scores.macro_f1:.1f} % (of the 3 labels that occur)"


@pytest.mark.parametrize(
    ("label", "expected"), [("yes", ["test", "new"]), ("_silence_", ["validation", "test", "new"])]
)
def test_only_words_of_the_test_split_push_out_validation(label, expected):
    clips = [("yes", "validation"), (label, "test"), ("yes", "new")]

    def split_of(clip):
        return Example(Path("clip.wav"), clip[0], None), clip[1]

    assert [split for _, split in prefer_test(clips, split_of)] == expected


def test_an_evaluation_tells_what_was_mended_in_reading(tmp_path, write_wav, rng, monkeypatch):
    def read(example, sample_rate):
        return read_example(example, sample_rate)._replace(notes=("louder than full scale",))

    monkeypatch.setattr("speechcls.data.packing.read_example", read)
    paths = [
        write_wav(tmp_path / label / f"{i}.wav", rng.uniform(-0.1, 0.1, 8_000))
        for label in ("no", "yes")
        for i in range(2)
    ]
    evaluation = evaluate("commands", tmp_path)
    assert evaluation.notes == [f"4 clips: louder than full scale ({paths[0]} first)"]
