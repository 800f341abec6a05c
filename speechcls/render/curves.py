"""Learning curves of one training."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from speechcls.render.figures import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


History = Sequence[Mapping[str, Any]]
"""Epochs as ``metrics.json`` has them."""


_MEASURES = {
    "validation_balanced_accuracy": "validation balanced accuracy",
    "validation_accuracy": "validation accuracy",
}
"""What the best epoch is chosen by, in histories of today and of older models."""


def name_measure(histories: Iterable[History]) -> tuple[str, str]:
    """Return the field by which all histories can be shown, and its name in words.

    It is what the best epoch is chosen by, or accuracy where one is of an older model.
    """
    epochs = [epoch for history in histories for epoch in history]
    shared = next(name for name in _MEASURES if all(name in epoch for epoch in epochs))
    return shared, _MEASURES[shared]


def draw_curves(history: History) -> "Figure":
    """Return a figure of loss and balanced accuracy over the epochs of one training."""
    figure = new_figure(7.0, 2.8)
    loss, accuracy = figure.subplots(1, 2)
    measure, measured = name_measure([history])
    epochs = [epoch["epoch"] for epoch in history]
    marker = "o" if len(epochs) < 3 else ""  # a line of one point would not show
    for axes, name, label, number in (
        (loss, "loss", "training (augmented clips)", 0),
        (loss, "validation_loss", "validation", 1),
        (accuracy, measure, "validation", 1),
    ):
        values = [epoch[name] * (100 if axes is accuracy else 1) for epoch in history]
        axes.plot(epochs, values, color=PALETTE[number], marker=marker, label=label)
    best = [epoch for epoch in history if epoch["is_best"]][-1:]
    for epoch in best:
        percent = 100 * epoch[measure]
        accuracy.plot(epoch["epoch"], percent, "o", color=PALETTE[1])
        accuracy.set_title(f"{measured}: {percent:.1f} % in epoch {epoch['epoch']}, kept")
    loss.set_title("loss")
    loss.legend()
    accuracy.set_ylabel("%")
    for axes in (loss, accuracy):
        label_epochs(axes)
    return figure


def label_epochs(axes: "Axes") -> None:
    """Label the x axis with whole epochs."""
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True)
