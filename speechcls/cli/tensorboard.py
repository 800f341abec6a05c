"""Metrics of each epoch as a TensorBoard log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechcls.errors import ConfigError, not_installed

if TYPE_CHECKING:
    from speechcls.training.optimisation import Epoch


def import_summary_writer() -> Any:
    """Return the class ``torch.utils.tensorboard.SummaryWriter``.

    Raises
    ------
    ConfigError
        When the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            not_installed("the package tensorboard", "tensorboard"), field="tensorboard"
        ) from error
    return SummaryWriter


@contextmanager
def logging_to(folder: Path | None) -> Iterator[Callable[["Epoch"], None]]:
    """Yield a function that logs an epoch in ``folder``; a no-op if ``folder`` is None."""
    if folder is None:
        yield lambda epoch: None
        return
    writer = import_summary_writer()(str(folder))

    def log(epoch: "Epoch") -> None:
        for name, value in (
            ("loss/training", epoch.loss),
            ("loss/validation", epoch.validation_loss),
            ("balanced accuracy/validation", epoch.validation_balanced_accuracy),
            ("command recall/validation", epoch.validation_command_recall),
            ("accuracy/validation", epoch.validation_accuracy),
            ("learning rate", epoch.lr),
        ):
            if value is not None:
                writer.add_scalar(name, value, epoch.epoch)
        writer.flush()  # to be seen at once

    try:
        yield log
    finally:
        writer.close()
