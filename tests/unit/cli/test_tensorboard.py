"""What TensorBoard is told, by a writer that remembers."""

import dataclasses
import sys
import types

import pytest

from speechcls.cli.tensorboard import logging_to
from speechcls.errors import ConfigError
from speechcls.training.optimisation import Epoch

MODULE = "torch.utils.tensorboard"
EPOCH = Epoch(3, 0.5, 0.7, 0.8, 0.75, 0.9, 1e-3, 100.0, 2.0, True)


@pytest.fixture
def told(monkeypatch):
    """Everything that the writer was told, in order."""
    calls = []

    class Writer:
        def __init__(self, folder):
            calls.append(("open", folder))

        def add_scalar(self, *scalar):
            calls.append(scalar)

        def flush(self):
            calls.append("flush")

        def close(self):
            calls.append("close")

    module = types.ModuleType(MODULE)
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, MODULE, module)
    return calls


def test_an_epoch_is_loss_accuracy_and_learning_rate(told, tmp_path):
    with logging_to(tmp_path) as log:
        log(EPOCH)
    assert told == [
        ("open", str(tmp_path)),
        ("loss/training", 0.5, 3),
        ("loss/validation", 0.7, 3),
        ("balanced accuracy/validation", 0.8, 3),
        ("command recall/validation", 0.75, 3),
        ("accuracy/validation", 0.9, 3),
        ("learning rate", 1e-3, 3),
        "flush",
        "close",
    ]


def test_without_reserved_labels_the_recall_of_commands_is_not_logged(told, tmp_path):
    with logging_to(tmp_path) as log:
        log(dataclasses.replace(EPOCH, validation_command_recall=None))
    assert [call[0] for call in told[1:4]] == [
        "loss/training",
        "loss/validation",
        "balanced accuracy/validation",
    ]
    assert not any(call[0] == "command recall/validation" for call in told)


def test_the_log_is_closed_after_an_error(told, tmp_path):
    with pytest.raises(KeyboardInterrupt), logging_to(tmp_path):
        raise KeyboardInterrupt
    assert told[-1] == "close"


def test_without_a_folder_nothing_is_written(told):
    with logging_to(None) as log:
        log(EPOCH)
    assert told == []


def test_the_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, MODULE, None)
    with (
        pytest.raises(ConfigError, match=r"pip install 'speechcls\[tensorboard\]'"),
        logging_to(tmp_path),
    ):
        pass
