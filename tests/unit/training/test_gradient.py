"""The gradient of a batch, and the step at which a training stops being finite.

What is captured on CUDA is compared with this by ``benchmarks/gpu.py``.
"""

import torch
from common_training import CPU, make_corpus
from torch.nn.functional import cross_entropy

from speechcls.config import NetworkConfig, TrainConfig
from speechcls.networks.recogniser import build_recogniser, forward_mixed_precision
from speechcls.training.batches import Batches
from speechcls.training.gradient import FiniteCheck, Gradient

NAN, INF = float("nan"), float("inf")


def test_it_is_that_of_the_mean_loss() -> None:
    corpus = make_corpus()
    recogniser = build_recogniser(corpus.features, NetworkConfig(arch="gru"), range(2), seed=0)
    batches = Batches(corpus, TrainConfig(batch_size=6), CPU)
    features, targets = next(batches.training(1))
    recogniser.eval()  # no dropout
    logits = forward_mixed_precision(recogniser, features)
    loss = cross_entropy(logits, targets, label_smoothing=TrainConfig.label_smoothing)
    expected = torch.autograd.grad(loss, list(recogniser.parameters()))
    for weight in recogniser.parameters():
        weight.grad = torch.full_like(weight, 7.0)  # of another batch
    found = Gradient(recogniser, batches.loss, 6).find(features, targets, print)
    assert torch.equal(found, loss) and not found.requires_grad
    for weight, gradient in zip(recogniser.parameters(), expected, strict=True):
        assert weight.grad is not None and torch.equal(weight.grad, gradient)


def test_the_first_step_that_is_not_finite_is_found() -> None:
    for loss, norm in ((NAN, 1.0), (1.0, INF), (-INF, NAN)):
        check = FiniteCheck[str](CPU)
        assert check.add("first", torch.tensor(2.0), torch.tensor(1e30)) is None
        failure = check.add("second", torch.tensor(loss), torch.tensor(norm))
        assert failure is not None and failure.where == "second"
        assert str((failure.loss, failure.norm)) == str((loss, norm))
    check = FiniteCheck[str](CPU)
    check.add("only", torch.tensor(2.0), torch.tensor(1.0))
    assert check.find() is None
