"""Habits of units: the states are torch's, and the ranking is what one would do by hand."""

from functools import cache, partial

import numpy as np
import pytest
from common_habits import LABELS, SETTINGS, in_sound, make_habits, torch_states, write_tones

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError, DatasetError
from speechcls.explain.habits import (
    HabitSettings,
    compare_states,
    find_habits,
    lagged_cosines,
    run_clips,
    spread,
)
from speechcls.layouts.load import load_dataset

KINDS = [("rnn", "last"), ("lstmp", "last"), ("bilstm", "last"), ("att-bigru", "attention")]
KINDS += [("crnn", "stream"), ("mingru", "attention")]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return cache(partial(make_habits, tmp_path_factory.mktemp("habits")))


@pytest.mark.parametrize(("arch", "readout"), KINDS)
def test_states_and_their_ranking_are_those_of_torch(case, arch, readout):
    recogniser, run, _ = case(arch, readout)
    states = torch_states(recogniser, run)
    habits = find_habits(run, SETTINGS)
    of_last = [key for key in habits if key[0] == 2]
    size = states.shape[2] // len(of_last)
    assert len(habits) == 2 * len(of_last)
    for part, key in enumerate(of_last):
        own = states[:, :, part * size : (part + 1) * size]
        np.testing.assert_allclose(run.states[key], own, atol=1e-4)
        for ranking, sign in ((habits[key].highest, 1), (habits[key].lowest, -1)):
            for unit in range(size):
                best = {
                    clip: max(
                        sign * own[clip, step, unit]
                        for step in range(own.shape[1])
                        if in_sound(run, clip, step)
                    )
                    for clip in range(len(own))
                }
                wanted = sorted(best.values(), reverse=True)[:3]
                np.testing.assert_allclose(sign * ranking.values[unit], wanted, atol=1e-4)
                assert len(set(ranking.clips[unit])) == 3
                for clip, step, value in zip(
                    ranking.clips[unit], ranking.steps[unit], ranking.values[unit], strict=True
                ):
                    assert in_sound(run, clip, step)
                    assert value == pytest.approx(own[clip, step, unit], abs=1e-4)
        label_of = np.array([run.labels.index(clip.example.label) for clip in run.clips])
        for label in range(len(LABELS)):
            mean = own[label_of == label].mean(axis=0).T
            np.testing.assert_allclose(habits[key].means[:, label], mean, atol=1e-4)


@pytest.mark.parametrize(("arch", "readout"), [("rnn", "last"), ("bilstm", "last")])
def test_similar_moments_have_the_largest_cosine(case, arch, readout):
    recogniser, run, _ = case(arch, readout)
    states = torch_states(recogniser, run).astype(np.float64)
    there = np.array(
        [[in_sound(run, c, s) for s in range(states.shape[1])] for c in range(len(states))]
    )
    states -= states[there].mean(axis=0)
    similar = compare_states(run, 2, SETTINGS)

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    for clip, moment in ((0, len(similar.at) // 2), (7, len(similar.at) // 3)):
        own = states[clip, similar.at[moment]]
        best = sorted(
            (
                max(cosine(own, states[c, s]) for s in np.flatnonzero(there[c]))
                for c in range(len(states))
                if c != clip
            ),
            reverse=True,
        )
        np.testing.assert_allclose(similar.cosines[clip, moment], best[:2], atol=1e-4)
        for c, s, value in zip(
            similar.clips[clip, moment],
            similar.steps[clip, moment],
            similar.cosines[clip, moment],
            strict=True,
        ):
            assert value == pytest.approx(cosine(own, states[c, s]), abs=1e-4)
    assert not any(clip in similar.whole[clip] for clip in range(len(states)))


def test_clips_are_alike_at_the_best_lag():
    early, late = np.zeros((5, 1)), np.zeros((5, 1))
    early[1], late[3] = 2.0, 1.0
    states = np.stack([early, late])
    np.testing.assert_allclose(lagged_cosines(states, 1), [[1, 0], [0, 1]])
    np.testing.assert_allclose(lagged_cosines(states, 2), [[1, 1], [1, 1]])


def test_spread_has_both_ends():
    assert spread(5, 3).tolist() == [0, 2, 4]
    assert spread(2, 50).tolist() == [0, 1]


def test_a_unit_that_never_moves_agrees_on_nothing(tmp_path):
    def numb(recogniser):
        for name, weights in recogniser.network.recurrence.named_parameters():
            if name.endswith("l1"):
                weights[3] = 0.0

    _, run, _ = make_habits(tmp_path, "rnn", "last", numb)
    habit = find_habits(run, SETTINGS)[2, "forward"]
    assert habit.moves[3] == 0 < habit.moves[2]
    assert not habit.highest.agrees[3] and not habit.lowest.agrees[3]
    assert habit.highest.n_level[3] == len(run.clips)
    # Of clips that are all alike it does not show those of one label.
    labels = {run.clips[clip].example.label for clip in habit.highest.clips[3]}
    assert len(labels) > 1


def test_a_unit_that_tells_a_word_is_found(tmp_path):
    """Unit 0 sees the energy of a band in which only the word "yes" has any."""
    _, run, _ = make_habits(tmp_path, "rnn", "last")
    settings = HabitSettings(n_top=4)
    for clip, states in zip(run.clips, run.states[1, "forward"], strict=True):
        states[:, 0] = np.linspace(0.1, 0.5, len(states)) * (1 + (clip.example.label == "yes"))
    ranking = find_habits(run, settings)[1, "forward"].highest
    assert run.labels[ranking.label[0]] == "yes"
    assert ranking.n_agree[0] == 4
    assert ranking.chance[0] == pytest.approx(3 / 495)  # of 495 lists of 4 of 12 clips


def test_the_cap_takes_as_many_of_each_label(tmp_path, case):
    _, run, _ = case("rnn", "last")
    dataset = load_dataset(write_tones(tmp_path / "data"))
    few = run_clips(run.classifier, dataset, HabitSettings(n_clips=6))
    assert sorted(clip.example.label for clip in few.clips) == sorted(2 * LABELS)
    assert few.n_left == 6
    assert str(few) == "6 clips of 3 labels (6 new to the model); 6 more are left out"


def test_a_clip_is_not_compared_with_itself(tmp_path, case):
    _, run, _ = case("rnn", "last")
    dataset = load_dataset(write_tones(tmp_path / "data"))
    path = tmp_path / "data" / "yes" / "s00_nohash_0.wav"
    window = run.classifier.read_window(str(path))
    asked = run_clips(run.classifier, dataset, SETTINGS, ("s00.wav", window))
    assert asked.query == 11 and asked.n_left == 1
    assert "yes/s00_nohash_0.wav" not in [clip.name for clip in asked.own]
    habits = find_habits(asked, SETTINGS)
    assert all(11 not in habit.highest.clips for habit in habits.values())
    similar = compare_states(asked, 1, SETTINGS)
    assert 11 not in similar.clips and 11 not in similar.whole


def test_what_cannot_be_shown_is_refused(tmp_path, monkeypatch, case):
    from common_explaining import make_model

    _, run, _ = case("rnn", "last")
    (tmp_path / "data" / "yes").mkdir(parents=True)
    (tmp_path / "data" / "yes" / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(DatasetError, match="fewer than two clips can be read"):
        run_clips(run.classifier, load_dataset(tmp_path / "data"), SETTINGS)
    with pytest.raises(ConfigError, match="1 is not possible; 2 or more"):
        HabitSettings(n_clips=1)
    features, network = FeatureConfig(duration_s=0.42), NetworkConfig(arch="gru", hidden_size=8)
    classifier, _ = make_model(tmp_path / "gru", features, network)
    monkeypatch.setattr("speechcls.explain.habits.EQUATIONS", {})
    with pytest.raises(ConfigError, match="gru has no recurrent layers that are known"):
        run_clips(classifier, load_dataset(write_tones(tmp_path / "tones")), SETTINGS)
