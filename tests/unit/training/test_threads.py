"""With how many threads a training runs, and when batches are made ahead of the steps."""

import threading

import pytest
import torch
from common_training import CPU, NETWORK, PLAIN, build, make_corpus

from speechcls.config import TrainConfig
from speechcls.training import batches as batches_module
from speechcls.training import loop
from speechcls.training.batches import Batches
from speechcls.training.loop import choose_threads, fit

LONG = 1_000


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch):
    """Eight threads on eight cores, which no variable limits."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(batches_module, "default_jobs", lambda: 8)
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


def make(**changes: object) -> tuple:
    corpus = make_corpus(("a", "b"))
    config = TrainConfig(**{"epochs": 2, "epoch_clips": 1, "batch_size": 8, **PLAIN, **changes})
    return build(corpus, NETWORK), corpus, config


def chosen(monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], n_steps: int = LONG) -> int:
    """Return what is chosen where a step takes so long with so many threads."""
    monkeypatch.setattr(loop, "time_step", lambda trial, batches: seconds[torch.get_num_threads()])
    recogniser, corpus, config = make()
    choose_threads(recogniser, Batches(corpus, config, CPU), n_steps)
    return torch.get_num_threads()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({8: 1.0, 4: 1.1, 2: 2.0, 1: 4.0}, 8),
        ({8: 8.0, 4: 1.1, 2: 2.0, 1: 4.0}, 4),  # others use half of the cores
        ({8: 9.0, 4: 7.0, 2: 5.0, 1: 3.0}, 1),
        ({8: 1.0, 4: 0.9, 2: 0.9, 1: 0.9}, 8),  # about the same: as always
        ({8: 1.0, 4: 1.2, 2: 0.5, 1: 0.45}, 2),
    ],
)
def test_fewer_threads_are_chosen_where_they_are_clearly_faster(monkeypatch, seconds, expected):
    assert chosen(monkeypatch, seconds) == expected


def test_a_number_that_the_user_gave_and_a_short_training_are_left_alone(monkeypatch):
    fewer_are_faster = {8: 4.0, 4: 3.0, 2: 2.0, 1: 1.0}
    assert chosen(monkeypatch, fewer_are_faster, n_steps=200) == 8
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert chosen(monkeypatch, fewer_are_faster) == 8


def test_trying_numbers_of_threads_changes_nothing(monkeypatch):
    recogniser, corpus, config = make(noise_prob=0.5)
    before = {name: value.clone() for name, value in recogniser.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    recogniser.eval()
    choose_threads(recogniser, Batches(corpus, config, CPU), LONG)
    assert not recogniser.training
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(value, before[name]) for name, value in recogniser.state_dict().items())
    assert all(parameter.grad is None for parameter in recogniser.parameters())


@pytest.mark.parametrize(("n_threads", "is_ahead"), [(8, False), (4, True), (1, True)])
def test_batches_are_made_ahead_where_half_of_the_cores_are_free(monkeypatch, n_threads, is_ahead):
    makers = set()
    make_features = Batches.training

    def spied(self, *arguments):
        for batch in make_features(self, *arguments):
            makers.add(threading.current_thread() is threading.main_thread())
            yield batch

    monkeypatch.setattr(Batches, "training", spied)
    torch.set_num_threads(n_threads)
    fit(*make(), CPU)
    assert makers == {not is_ahead}
    assert torch.get_num_threads() == n_threads  # as before


def test_made_ahead_or_not_the_weights_are_the_same(monkeypatch):
    weights = []
    torch.set_num_threads(1)
    for n_cores in (1, 2):
        monkeypatch.setattr(batches_module, "default_jobs", lambda n=n_cores: n)
        recogniser, corpus, config = make(noise_prob=0.5, shift_max=0.1, time_masks=2)
        fit(recogniser, corpus, config, CPU)
        weights.append(recogniser.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
