"""Faults planted in real recordings are found, and hardly anything else."""

import numpy as np
import pytest

from speechcls.data_quality.check import check
from speechcls.data_quality.findings import LEFT_OUT
from speechcls.layouts.load import load_dataset
from speechcls.runtime.classifier import Classifier

N_CLIPS = 1_500
COMMANDS = ("yes", "no", "up", "down", "left", "right", "stop", "go")


@pytest.fixture(scope="module")
def planting(request):
    """The script that does the same on a whole data set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(request.config.rootpath / "benchmarks")
        import check_faults

        yield check_faults


@pytest.fixture(scope="module")
def result(planting, speech_commands, tmp_path_factory, request):
    """What was planted in some of the clips, training and validation, and what was found."""
    everything = load_dataset(speech_commands).examples
    order = np.random.default_rng(1).permutation(len(everything))[:N_CLIPS]
    examples = [everything[i] for i in sorted(order)]
    planted = planting.plant(examples, tmp_path_factory.mktemp("planted"), COMMANDS, seed=0)
    classifier = Classifier.load(request.config.rootpath / "models" / "commands")
    return planted, check(load_dataset(planted.root), classifier), examples


@pytest.mark.parametrize("kind", ["mislabelled", "copied", "clipped", "silent"])
def test_at_least_nine_in_ten_are_found(planting, result, kind):
    planted, checkup, _ = result
    assert len(planted.faults[kind]) >= 10
    assert planting.recall(checkup, planted, kind) >= 0.9


def test_the_likely_label_is_the_right_one(planting, result):
    planted, checkup, examples = result
    assert planting.likely_right(checkup, examples, planted) >= 0.9


def test_few_clips_are_suspected_of_mislabelling_or_copying_in_vain(planting, result):
    """Levels are facts, and so are not among the false alarms; labels and copies are guesses."""
    planted, checkup, _ = result
    guesses = LEFT_OUT - {"silent", "clipped"}
    false = planting.found(checkup, guesses) - planted.touched
    assert len(false) <= 0.02 * len(checkup.dataset.examples)
    copies = planting.found(checkup, {"copy", "leak", "two-labels"}) - planted.touched
    assert copies == set()  # no clip of this data set is a copy of another one
