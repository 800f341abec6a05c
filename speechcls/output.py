"""Predictions as lines: tab-separated, CSV or JSON."""

import csv
import json
from collections.abc import Callable
from typing import TextIO

from speechcls.classifier import Prediction

WritePrediction = Callable[[str, Prediction], None]

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def open_writer(kind: str, stream: TextIO, top_k: int | None) -> WritePrediction:
    """Return a function that writes one prediction as a line.

    Parameters
    ----------
    kind : ``tsv`` (path, label, probability; then the next likeliest labels and theirs), ``csv``
        (the same under a header) or ``json`` (an object a line)
    top_k : how many labels to give; None: 1, in JSON all
    """
    if kind == "json":
        return lambda path, prediction: _write_json(stream, path, prediction, top_k)
    n_labels = top_k or 1
    if kind == "csv":
        writer = csv.writer(stream, lineterminator="\n")
        extra = [f"{name}_{k}" for k in range(2, n_labels + 1) for name in ("label", "probability")]
        writer.writerow(["path", "label", "probability", *extra])
        return lambda path, prediction: writer.writerow([path, *_columns(prediction, n_labels)])
    return lambda path, prediction: print(
        path.translate(_ESCAPES), *_columns(prediction, n_labels), sep="\t", file=stream
    )


def _columns(prediction: Prediction, n_labels: int) -> list[str]:
    columns = [prediction.label, f"{prediction.probability:.4f}"]
    if n_labels == 1:
        return columns
    others = [item for item in prediction.probabilities.items() if item[0] != prediction.label]
    if prediction.label not in prediction.probabilities:
        others = others[1:]  # the likeliest one stands under _uncertain_ already
    for label, probability in others[: n_labels - 1]:
        columns += [label, f"{probability:.4f}"]
    return columns


def _write_json(stream: TextIO, path: str, prediction: Prediction, top_k: int | None) -> None:
    ranked = list(prediction.probabilities.items())[:top_k]
    line = {
        "path": path,
        "label": prediction.label,
        "probability": round(prediction.probability, 6),
        "probabilities": {label: round(probability, 6) for label, probability in ranked},
    }
    print(json.dumps(line), file=stream)
