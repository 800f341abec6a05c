"""The bias against ``_unknown_``, by which words of validation are hardly lost to it."""

import dataclasses

import numpy as np
import pytest
import torch
from common_training import build, make_corpus, train

from speechcls.labels import SCRAMBLED, SILENCE, SPOKEN, UNKNOWN
from speechcls.training.publish import favour_words

LABELS = ("low", "high", UNKNOWN, SILENCE)


def with_made(words, n_own, n_each):
    """Return a corpus of which the clips of the first words alone are the data set's."""
    corpus = make_corpus(words, LABELS, n_each=n_each)
    return dataclasses.replace(corpus, n_own=n_own * n_each)


def logits_of(recogniser, corpus, names):
    """Of the validation clips with these labels, and the labels (n,)."""
    wanted = [corpus.labels.index(name) for name in names]
    chosen = (corpus.split == "validation") & np.isin(corpus.label_index, wanted)
    clips = np.flatnonzero(chosen)
    with torch.no_grad():
        logits = recogniser.eval()(torch.from_numpy(corpus.samples(clips))).numpy()
    return logits, corpus.label_index[clips]


@pytest.fixture(scope="module")
def trained():
    """A corpus of two words and made sounds, and a network that takes the words for the latter."""
    words = ("low", "high", SILENCE, SCRAMBLED, SPOKEN)
    corpus = with_made(words, 2, n_each=40)
    recogniser, _ = train(corpus, epochs=12, lr=0.01, scramble_ratio=0.0)
    return corpus, recogniser


def test_words_are_won_back_from_unknown(trained):
    corpus, recogniser = trained
    unknown = LABELS.index(UNKNOWN)
    before, truth = logits_of(recogniser, corpus, ("low", "high"))
    others = np.delete(before, unknown, axis=1).max(axis=1)
    assert (others == before[np.arange(len(truth)), truth]).all()  # right but for _unknown_
    with torch.no_grad():  # as if made sounds were much more frequent
        recogniser.network.output.bias[3:] += 5.0
    spoilt, _ = logits_of(recogniser, corpus, ("low", "high"))
    assert (spoilt.argmax(axis=1) == unknown).any()
    bias = favour_words(recogniser, corpus)
    margins = np.delete(spoilt, unknown, axis=1).max(axis=1) - spoilt[:, unknown]
    assert bias == pytest.approx(margins.min(), abs=1e-5) and -6.0 < bias < 0
    after, _ = logits_of(recogniser, corpus, ("low", "high"))
    difference = (after - spoilt)[:, [unknown]] - (after - spoilt)[:, :2]
    np.testing.assert_allclose(difference, bias, atol=1e-4)
    assert np.sum(after.argmax(axis=1) != truth) <= 1  # the one at the margin itself
    assert favour_words(recogniser, corpus) == pytest.approx(0.0, abs=1e-5)  # nothing is left to do


def test_other_words_of_the_data_keep_their_say():
    corpus = with_made(("low", "high", SILENCE, "other", SCRAMBLED), 4, n_each=30)
    recogniser = build(corpus).eval()
    with torch.no_grad():
        recogniser.network.output.bias[3:] += 9.0
    assert favour_words(recogniser, corpus) == 0.0


def test_no_bias_is_larger_than_four():
    corpus = with_made(("low", "high", SILENCE, SCRAMBLED, SPOKEN), 2, n_each=30)
    recogniser = build(corpus).eval()
    with torch.no_grad():
        recogniser.network.output.bias[3:] += 20.0
    assert favour_words(recogniser, corpus) == -4.0


def test_without_a_label_for_other_words_there_is_no_bias():
    corpus = make_corpus(("low", "high"), ("low", "high"))
    assert favour_words(build(corpus).eval(), corpus) == 0.0
