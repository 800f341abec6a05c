"""The confusion matrix of a report as a table: labels that are confused stand together."""

from dataclasses import dataclass

import numpy as np

from speechcls.evaluation.metrics import Labels
from speechcls.report.results import Results

MAX_LABELS = 100
"""Most labels that the matrix has; of more, those with the most mistakes."""
N_SHADES = 6
"""Shades of a cell, by the square root of its fraction, so that rare mistakes are visible."""


@dataclass(frozen=True)
class Cell:
    """One pair of labels that occurs."""

    n_clips: int
    percent: float
    """Of the clips of the true label."""
    shade: str
    """``r`` for right or ``w`` for wrong, and a number in 1 .. ``N_SHADES``."""


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix as the page has it."""

    labels: tuple[str, ...]
    """In their order there."""
    n_clips: tuple[int, ...]
    """Of each label."""
    cells: tuple[tuple[Cell | None, ...], ...]
    """A row for each true label, a cell for each predicted one; None for no clip."""


def order_labels(confusion: Labels) -> list[int]:
    """Return the indices of the labels, those beside each other that are confused.

    Labels that are never confused follow in their own order.

    Parameters
    ----------
    confusion : (n_labels, n_labels) clips; rows truth, columns prediction

    Source
    ------
    Average linkage with optimal leaf ordering: Bar-Joseph, Gifford & Jaakkola 2001.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    wrong = confusion - np.diag(np.diag(confusion))
    is_confused = wrong.any(axis=0) | wrong.any(axis=1)
    confused, others = np.flatnonzero(is_confused), np.flatnonzero(~is_confused)
    fractions = wrong / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    likeness = (fractions + fractions.T)[np.ix_(confused, confused)] / 2
    distance = 1.0 - likeness
    np.fill_diagonal(distance, 0.0)
    order = range(len(confused))
    if len(confused) > 2:
        tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
        order = leaves_list(tree).tolist()
    return [int(i) for i in (*confused[list(order)], *others)]


def chosen_labels(confusion: Labels) -> list[int]:
    """Return the labels of the matrix in its order: all, or those with the most mistakes."""
    order = order_labels(confusion)
    if len(order) <= MAX_LABELS:
        return order
    wrong = confusion - np.diag(np.diag(confusion))
    n_mistakes = wrong.sum(axis=0) + wrong.sum(axis=1)
    most = set(np.argsort(-n_mistakes, kind="stable")[:MAX_LABELS].tolist())
    return [i for i in order if i in most]


def make_matrix(results: Results) -> Matrix:
    """Return the confusion matrix of a report."""
    confusion, names = results.scores.confusion, results.scores.labels
    totals = confusion.sum(axis=1)
    order = chosen_labels(confusion)

    def cell_of(truth: int, predicted: int) -> Cell | None:
        n_clips = int(confusion[truth, predicted])
        if not n_clips:
            return None
        fraction = n_clips / int(totals[truth])
        shade = int(np.ceil(N_SHADES * np.sqrt(fraction) - 1e-9))
        return Cell(n_clips, 100 * fraction, f"{'r' if truth == predicted else 'w'}{shade}")

    return Matrix(
        tuple(names[i] for i in order),
        tuple(int(totals[i]) for i in order),
        tuple(tuple(cell_of(truth, predicted) for predicted in order) for truth in order),
    )
