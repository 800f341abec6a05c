"""Sounds to reject beside a data set: labels, splits and windows."""

from collections import Counter

import numpy as np
import pytest
from common import labels_of, load, make_rejects

from speechcls.audio.samples import to_float
from speechcls.labels import SCRAMBLED, SILENCE, SPOKEN, UNKNOWN


@pytest.fixture
def rejects():
    return make_rejects()


def test_every_data_set_gets_unknown_and_silence(root, make_data, rejects):
    make_data(root, ["yes", "no"], n=24)
    corpus = load(root, rejects=rejects)
    assert corpus.labels == ("no", "yes", UNKNOWN, SILENCE)
    assert corpus.words == ("no", "yes", SILENCE, SCRAMBLED, SPOKEN)
    made = list(zip(labels_of(corpus), corpus.split.tolist(), strict=True))[48:]
    assert made == [(UNKNOWN, "train"), (UNKNOWN, "validation"), (SILENCE, "validation")]
    assert [corpus.words[i] for i in corpus.word_index[48:]] == [SPOKEN, SPOKEN, SILENCE]
    assert [row.path for row in corpus.rows[48:]] == ["made/0", "made/1", "made/2"]
    assert [row.label for row in corpus.rows[48:]] == [SPOKEN, SPOKEN, SILENCE]
    assert corpus.noise.tolist() == rejects.noise.tolist()
    assert corpus.n_own == 48


def test_their_windows_are_as_long_as_those_of_the_data(root, make_data, rejects):
    make_data(root, ["yes", "no"], n=24)
    corpus = load(root, rejects=rejects)
    n_samples = corpus.features.n_samples
    assert corpus.windows.shape == (51, n_samples) == (51, 8_000)
    # shorter ones lie in the middle
    assert corpus.windows[48, 2_000:6_000].tolist() == rejects.clips.clip(0).tolist()
    assert not corpus.windows[48, :2_000].any()
    assert not corpus.windows[48, 6_000:].any()


def test_the_noise_of_the_data_comes_first(root, make_data, rejects):
    make_data(root, ["yes", "no"], n=24, noise_s=20.0)
    corpus = load(root, rejects=rejects)
    assert len(corpus.noise) == 16 * 16_000 + 48_000  # 80 % of the recording trains
    assert corpus.noise[-48_000:].tolist() == rejects.noise.tolist()
    counts = Counter(zip(labels_of(corpus), corpus.split.tolist(), strict=True))
    assert counts[SILENCE, "validation"] == 3 + 1


def test_a_single_word_is_enough(root, make_data, rejects):
    make_data(root, ["computer"], n=24)
    assert load(root, rejects=rejects).labels == ("computer", UNKNOWN, SILENCE)


def test_commands_without_other_words_reject_too(root, make_data, rejects):
    make_data(root, ["yes", "no"], n=24)
    corpus = load(root, commands=["yes", "no"], rejects=rejects)
    assert corpus.labels == ("yes", "no", UNKNOWN, SILENCE)


def test_the_windows_of_a_split_as_clips(root, make_data, rejects):
    make_data(root, ["yes", "no"], n=24)
    corpus = load(root, rejects=rejects)
    # Those of the data set: sounds that were made are easy to tell from it.
    chosen = np.flatnonzero(corpus.split[:48] == "validation")
    store = corpus.store("validation")
    assert 0 < len(chosen) == (corpus.split == "validation").sum() - 2
    assert [e.label for e in store.examples] == [labels_of(corpus)[i] for i in chosen]
    assert set(store.lengths.tolist()) == {corpus.features.n_samples}
    for i, clip in enumerate(chosen):
        assert store.read(i).tolist() == to_float(corpus.windows[clip]).tolist()
        assert store.digests[i] == corpus.rows[clip].digest
