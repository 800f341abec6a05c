"""Learning curves of one training."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from speechcls.render.figures import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


History = Sequence[Mapping[str, Any]]
"""Epochs as ``metrics.json`` has them."""


def draw_curves(history: History) -> "Figure":
    """Return a figure of loss and validation accuracy over the epochs of one training."""
    figure = new_figure(7.0, 2.8)
    loss, accuracy = figure.subplots(1, 2)
    epochs = [epoch["epoch"] for epoch in history]
    marker = "o" if len(epochs) < 3 else ""  # a line of one point would not show
    for axes, name, label, number in (
        (loss, "loss", "training (augmented clips)", 0),
        (loss, "validation_loss", "validation", 1),
        (accuracy, "validation_accuracy", "validation", 1),
    ):
        values = [epoch[name] * (100 if axes is accuracy else 1) for epoch in history]
        axes.plot(epochs, values, color=PALETTE[number], marker=marker, label=label)
    best = [epoch for epoch in history if epoch["is_best"]][-1:]
    for epoch in best:
        percent = 100 * epoch["validation_accuracy"]
        accuracy.plot(epoch["epoch"], percent, "o", color=PALETTE[1])
        accuracy.set_title(f"validation accuracy: {percent:.1f} % in epoch {epoch['epoch']}, kept")
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
