"""A signal to one of several processes ends all of them after the same step."""

import signal

import pytest
from common_training import CPU, build, make_corpus

from speechcls.config import TrainConfig
from speechcls.distributed.group import Group
from speechcls.distributed.place import Place
from speechcls.interrupts import DeferredSignals
from speechcls.training.loop import fit


class Interrupted(Group):
    """A process to which Ctrl-C comes while it asks the others for the third time."""

    def __init__(self) -> None:
        super().__init__(Place())
        self.told: list[int] = []

    def largest(self, value: int) -> int:
        self.told.append(value)
        if len(self.told) == 3:
            signal.raise_signal(signal.SIGINT)
        return value


def test_a_signal_counts_only_once_all_have_been_told() -> None:
    corpus, group = make_corpus(), Interrupted()
    config = TrainConfig(epochs=3, batch_size=4, epoch_clips=1)
    result = fit(build(corpus), corpus, config, CPU, group=group)
    assert group.told == [0, 0, 0, signal.SIGINT]
    assert result.interrupted


def test_the_signal_of_another_process_and_the_own_one_are_the_same() -> None:
    with DeferredSignals() as signals:
        signals.share(signal.SIGINT)
        assert signals.received == signal.SIGINT
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):  # the second own one takes its course
            signal.raise_signal(signal.SIGINT)
