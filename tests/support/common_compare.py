"""A comparison as its page takes it, made up, with recordings."""

from pathlib import Path

import numpy as np
import soundfile

from speechcls.evaluation.compare import JointPredictions
from speechcls.evaluation.significance import Contender, compare
from speechcls.layouts.examples import Dataset, Example
from speechcls.report.compare_page import ComparedModel


def make_comparison(folder, labels, truth, predicted, names, n_trainings=1):
    """Comparison, predictions, models and data set of clips that are recorded in ``folder``.

    ``predicted`` has a row for each training, those of one contender together.
    """
    examples = []
    for i, label_index in enumerate(truth):
        path = Path(folder, "data", f"{i}.wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.2 * np.sin(np.arange(4_000) * (0.1 + 0.02 * label_index)), 16_000)
        examples.append(Example(path, labels[label_index], f"s{i % 5}", "test"))
    predictions = JointPredictions(
        tuple(labels), tuple(examples), np.array(truth), np.array(predicted), "all clips", "", ()
    )
    right = predictions.right.reshape(len(names), n_trainings, -1)
    contenders = [Contender(name, rows) for name, rows in zip(names, right, strict=True)]
    models = [
        ComparedModel(tuple(f"models/{name}" for _ in range(n_trainings)), 1_234, None)
        for name in names
    ]
    dataset = Dataset(Path(folder, "data"), examples)
    return compare(contenders, predictions.speakers), predictions, models, dataset
