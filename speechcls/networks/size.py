"""Parameters and multiply-adds of a network, and the hidden size for a budget."""

import dataclasses
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from speechcls.config import SIZES, FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError
from speechcls.networks.layers import RecurrentLayer
from speechcls.networks.zoo import build_network

_WIDTHS = range(4, 1025, 4)
"""Hidden sizes that ``fit_size`` chooses from."""


def fit_size(
    size: str, features: FeatureConfig, network: NetworkConfig, n_outputs: int
) -> NetworkConfig:
    """Return ``network`` with the largest hidden size that keeps it below ``SIZES[size]``.

    A network of one size, whose parameters do not depend on the hidden size, is returned as it is.

    Raises
    ------
    ConfigError
        When ``size`` is unknown, or even the smallest network has more parameters.
    """
    if size not in SIZES:
        raise ConfigError(f"no {size!r}; there are {', '.join(SIZES)}", field="size")

    def build(width: int) -> nn.Module:
        candidate = dataclasses.replace(network, hidden_size=width)
        return build_network(candidate, features.n_features, n_outputs)

    smallest = _count_at(build, _WIDTHS[0])
    if smallest == _count_at(build, _WIDTHS[-1]):
        if smallest < SIZES[size]:
            return network
        raise ConfigError(
            f"{network.arch} has {smallest:,} parameters, whatever the hidden size; {size} is below"
            f" {SIZES[size]:,}; choose a larger one",
            field="size",
        )
    width = widest_below(build, SIZES[size], _WIDTHS)
    if width is None:
        raise ConfigError(
            f"{network.arch} with {n_outputs} outputs does not fit below"
            f" {SIZES[size]:,} parameters; choose a larger one",
            field="size",
        )
    return dataclasses.replace(network, hidden_size=width)


def widest_below(
    build: Callable[[int], nn.Module], max_parameters: int, widths: Iterable[int]
) -> int | None:
    """Return the largest width with fewer than ``max_parameters``; None if even the first has more.

    Parameters
    ----------
    build : returns the network of a width
    widths : in increasing order
    """
    chosen = None
    for width in widths:
        if _count_at(build, width) >= max_parameters:
            break
        chosen = width
    return chosen


def _count_at(build: Callable[[int], nn.Module], width: int) -> int:
    """Return the number of parameters of a width, without memory for them."""
    with torch.device("meta"):
        return count_parameters(build(width))


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(network: nn.Module, features: Tensor) -> int:
    """Return the multiply-adds of one pass over ``features`` (1, n_frames, n_features).

    Counted are the products by weight matrices in recurrent, linear, convolutional and (self-)
    attention layers.
    """
    total = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        # An attention layer does not call the linear layer inside it.
        is_attention = isinstance(layer, nn.MultiheadAttention)
        n_weights = sum(p.numel() for p in layer.parameters(recurse=is_attention) if p.dim() > 1)
        if isinstance(layer, nn.MultiheadAttention):
            n_uses = inputs[0].numel() // layer.embed_dim  # once per step
        elif isinstance(layer, nn.RNNBase | RecurrentLayer):
            n_uses = inputs[0].shape[1]  # once per frame
        elif isinstance(layer, nn.Linear):
            n_uses = output.numel() // layer.out_features
        else:
            n_uses = output.numel() // output.shape[1]  # once at each place of the map
        total += n_weights * n_uses

    counted = (
        *(nn.RNNBase, RecurrentLayer, nn.MultiheadAttention),
        *(nn.Linear, nn.Conv1d, nn.Conv2d),
    )
    hooks = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, counted)]
    try:
        with torch.no_grad():
            network(features)
    finally:
        for hook in hooks:
            hook.remove()
    return total
