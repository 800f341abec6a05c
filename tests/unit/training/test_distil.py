"""The benchmark that trains the bundled models: what is learnt beside the words."""

import dataclasses
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from common_training import CPU, make_corpus

from speechcls.artifact.store import load_artifact
from speechcls.config import TrainConfig
from speechcls.labels import SILENCE, UNKNOWN
from speechcls.networks.load import load_recogniser
from speechcls.training.batches import Batches
from speechcls.training.settings import TrainSettings
from speechcls.training.stream_batches import IGNORE_INDEX

WORDS = ("a", "b", SILENCE, "cat", "dog")
N_VALUES = 3


@pytest.fixture(scope="module")
def distil(request: pytest.FixtureRequest) -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(request.config.rootpath / "benchmarks")
        import distil as module
    return module


def lesson_of(distil: ModuleType, corpus, probabilities=None):
    training = np.flatnonzero(corpus.split == "train")
    row = torch.full((len(corpus.split),), -1)
    row[training] = torch.arange(len(training))
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(len(training), N_VALUES, generator=generator)
    words = torch.from_numpy(corpus.word_index)
    return distil.Lesson(words, len(corpus.words), row, embedding, probabilities)


def test_a_target_holds_the_word_and_the_row_of_a_clip(distil: ModuleType) -> None:
    embedding = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    lesson = distil.Lesson(torch.tensor([2, 0, 1]), 3, torch.tensor([1, -1, 0]), embedding, None)
    assert lesson.targets().tolist() == [2 + 3 * 2, 0, 1 + 3]
    targets = torch.tensor([8, 0, 4, IGNORE_INDEX, 2])  # the last one is made, of no clip
    assert lesson.words_of(targets).tolist() == [2, 0, 1, IGNORE_INDEX, 2]
    outputs = torch.zeros(5, 5)
    outputs[0, 3:] = torch.tensor([0.0, 2.0])  # as it is to be
    outputs[1:2, 3:] = 9.0  # does not count
    # Of two clips with two values each, one value is off by 1.
    assert float(lesson.loss(outputs, targets)) == pytest.approx(1 / 4)
    assert float(lesson.loss(outputs[3:], targets[3:])) == 0.0


def test_probabilities_of_a_teacher_are_matched_at_its_temperature(distil: ModuleType) -> None:
    wanted = torch.tensor([[0.5, 0.25, 0.25]])
    embedding = torch.zeros(1, 1)
    lesson = distil.Lesson(torch.tensor([1]), 3, torch.tensor([0]), embedding, wanted)
    outputs = torch.zeros(1, 1, 4)  # of a stream of one step: thirds
    expected = 0.5 * math.log(1.5) + 2 * 0.25 * math.log(0.75)
    loss = lesson.loss(outputs, torch.tensor([[1 + 3]]))
    assert float(loss) == pytest.approx(distil.TEMPERATURE**2 * expected, rel=1e-5)
    outputs[0, 0, :3] = distil.TEMPERATURE * wanted[0].log()
    assert float(lesson.loss(outputs, torch.tensor([[1 + 3]]))) == pytest.approx(0.0, abs=1e-6)


def test_non_words_and_noise_have_no_row(
    distil: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("babble_voices", "babble_s", "babble_ratio"):  # or the noise differs
        monkeypatch.setattr(Batches, name, getattr(distil.DistilledBatches, name))
    corpus = make_corpus(WORDS, ("a", UNKNOWN, "b", SILENCE))
    lesson = lesson_of(distil, corpus)
    config = TrainConfig(batch_size=16, silence_ratio=1.0)
    batches = distil.make_batches(lesson, _student(distil, corpus), corpus, config, CPU)
    plain = Batches(corpus, config, CPU)
    pairs = zip(batches.training_samples(1), plain.training_samples(1), strict=True)
    n_made = 0
    for (samples, targets), (same, words) in pairs:
        assert torch.equal(samples, same)
        assert torch.equal(lesson.words_of(targets), words)
        n_made += int((targets < lesson.n_words).sum())
    n_clips = sum(len(batches.clips_of(1, step)) for step in range(batches.n_steps))
    n_all = sum(len(targets) for _, targets in batches.training_samples(1))
    assert n_made == n_all - n_clips > 0  # the corpus has no scrambled word


def _student(distil: ModuleType, corpus):
    settings = TrainSettings.from_sections({"network": {"arch": "gru", "hidden_size": 8}})
    labels = [0, 2, 3, 1, 1]
    plain = distil.Recogniser(corpus.features, settings.network, labels)
    return distil.Student(plain, settings.network, labels, N_VALUES)


@pytest.mark.parametrize("recipe", ["standard", "stream"])
def test_the_saved_model_has_the_outputs_of_the_words_alone(
    distil: ModuleType, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = {"recipe": recipe, "epochs": 2, "from_model": "none", "batch_size": 16}
    training |= {"epoch_clips": 1}
    settings = TrainSettings.from_sections(
        {"network": {"size": "tiny"}, "training": training, "features": {"kind": "log-mel"}}
    )
    corpus = make_corpus(WORDS, ("a", "b", UNKNOWN, SILENCE))
    features = dataclasses.replace(settings.features, duration_s=corpus.features.duration_s)
    corpus = dataclasses.replace(corpus, features=features)
    monkeypatch.setattr(distil, "calibrate_trained", lambda place, corpus: place)
    lesson = lesson_of(distil, corpus)
    assert distil.train(settings, corpus, lesson, tmp_path / "model") == tmp_path / "model"
    artifact = load_artifact(tmp_path / "model")
    assert artifact.words == corpus.words
    recogniser = load_recogniser(artifact)
    assert recogniser.network.output.out_features == len(WORDS)
    samples = torch.from_numpy(corpus.samples(np.arange(2)))
    assert recogniser(samples).shape == (2, 4)
