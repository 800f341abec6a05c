"""Several networks on one clip: where they part by hand, and what is refused."""

import dataclasses

import numpy as np
import pytest
from common_explaining import make_lively, make_model, noise_and_tone

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError
from speechcls.explain.beside import Parting, check_same_window, find_parting, to_dict
from speechcls.explain.lookback import gain_by_lag, memory_gains
from speechcls.explain.trace import Curve, explain


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    features = FeatureConfig(kind="log-mel", duration_s=0.3)
    folder, found = tmp_path_factory.mktemp("beside"), []
    for arch in ("gru", "lstm"):
        network = NetworkConfig(arch=arch, hidden_size=5, num_layers=1)
        classifier, _ = make_model(folder / arch, features, network, make_lively)
        samples = noise_and_tone(features.n_samples, np.random.default_rng(0))
        found.append(explain(classifier, samples))
    return found


def with_labels(explanation, times_s, labels):
    """The explanation with these likeliest labels at these times."""
    values = np.array([[0.9 if label == each else 0.05 for each in explanation.labels]
                       for label in labels])  # fmt: skip
    return dataclasses.replace(explanation, posterior_over_time=Curve(np.array(times_s), values))


def test_they_part_where_they_differ_for_longest(explained):
    times_s = [0.0, 0.1, 0.2, 0.3, 0.4]
    one = with_labels(explained[0], times_s, ["no", "yes", "no", "no", "yes"])
    other = with_labels(explained[1], times_s, ["no", "no", "no", "yes", "no"])
    parting = find_parting([one, other])
    assert parting == Parting(pytest.approx(0.3), pytest.approx(0.4), ("no", "yes"))
    assert find_parting([one, one]) is None


def test_an_answer_of_a_step_holds_until_the_next(explained):
    one = with_labels(explained[0], [0.0, 0.1, 0.2, 0.3], ["no", "no", "no", "no"])
    steps = with_labels(explained[1], [0.08, 0.16, 0.24], ["no", "yes", "no"])
    parting = find_parting([one, steps])
    assert parting == Parting(pytest.approx(0.16), pytest.approx(0.24), ("no", "yes"))


def test_the_page_has_both_in_the_same_colours(explained):
    content = to_dict(explained, ["a", "b"])
    names = [model["posterior"]["names"] for model in content["models"]]
    assert names[0] == names[1]
    for model, explanation in zip(content["models"], explained, strict=True):
        columns = [explanation.labels.index(name) for name in names[0]]
        expected = explanation.posterior_over_time.values[:, columns].T
        np.testing.assert_allclose(model["posterior"]["series"], expected, atol=1e-4)
    left = content["memory"]["series"]
    for values, explanation in zip(left, explained, strict=True):
        assert values[0] == 1.0
        gains = gain_by_lag(memory_gains(explanation, 1, "forward"), "forward")
        lag = round(0.16 / explanation.end_s * 100)  # four steps of 40 ms
        assert values[lag] == pytest.approx(gains[4], abs=1e-4)


def test_windows_that_differ_are_refused(explained):
    config = dataclasses.replace(explained[0].config, duration_s=0.5)
    other = dataclasses.replace(explained[1], config=config)
    words = r"model: windows differ \(0.3 s at 16000 Hz, 0.5 s at 16000 Hz\)"
    with pytest.raises(ConfigError, match=words):
        check_same_window([explained[0], other])
    with pytest.raises(ConfigError, match="model: 7 are too many; at most 6"):
        check_same_window([explained[0]] * 7)
