"""Registry of all network architectures by name.

A new architecture is a subclass of ``network.Network`` and a line in ``NETWORKS``.
"""

from collections.abc import Iterator

from speechcls.config import NetworkConfig
from speechcls.errors import ConfigError
from speechcls.networks.frontends import BlockFrontEnd, CausalConvFrontEnd, ConvFrontEnd
from speechcls.networks.layers import CELLS, Cell
from speechcls.networks.network import Network
from speechcls.networks.recurrent import Recurrent, plain_network


class CRNN(Recurrent):
    """Causal convolutions, then a GRU, Arik et al. 2017."""

    cell = CELLS["gru"]
    front = CausalConvFrontEnd
    can_stream = True


class AttBiGRU(Recurrent):
    """Convolutions, BiGRU, four heads of attention, after de Andrade et al. 2018."""

    cell = CELLS["gru"]
    bidirectional = True
    front = ConvFrontEnd
    n_heads = 4


class AttBiLSTM(Recurrent):
    """Convolutions, BiLSTM, four heads of attention, after de Andrade et al. 2018."""

    cell = CELLS["lstm"]
    bidirectional = True
    front = ConvFrontEnd
    n_heads = 4


def _plain_networks() -> Iterator[tuple[str, type[Recurrent]]]:
    """Yield name and class of the networks of each cell: first of one direction, then of both."""

    def of(cell: Cell, bidirectional: bool) -> type[Recurrent]:
        return plain_network(cell, bidirectional, None if cell.without_front_end else BlockFrontEnd)

    yield from ((cell.name, of(cell, False)) for cell in CELLS.values())
    yield from (
        (f"bi{cell.name}", of(cell, True)) for cell in CELLS.values() if cell.about_bidirectional
    )


NETWORKS: dict[str, type[Network]] = {
    **dict(_plain_networks()),
    "crnn": CRNN,
    "att-bigru": AttBiGRU,
    "att-bilstm": AttBiLSTM,
}
"""Every architecture by its name."""


def find_network(arch: str) -> type[Network]:
    """Return the class of an architecture.

    Raises
    ------
    ConfigError
        When there is none, naming those that there are.
    """
    if arch not in NETWORKS:
        raise ConfigError(f"no {arch!r}; there are {', '.join(NETWORKS)}", field="arch")
    return NETWORKS[arch]


def build_network(config: NetworkConfig, n_features: int, n_outputs: int) -> Network:
    """Return a network whose weights are drawn from torch's global generator.

    Raises
    ------
    ConfigError
        When there is no such architecture, or it cannot be built with these settings.
    """
    network = find_network(config.arch)
    if config.is_streaming and not network.can_stream:
        able = ", ".join(name for name, each in NETWORKS.items() if each.can_stream)
        raise ConfigError(f"{config.arch} cannot run on a stream; {able} can", field="arch")
    return network(config, n_features, n_outputs)


def feature_kind(arch: str) -> str:
    """Return the network's default kind of features.

    A front end learns its own way from bands to what the recurrence needs; without one, cepstral
    coefficients do it.
    """
    return find_network(arch).feature_kind


def describe(arch: str) -> str:
    """Return the first line of what an architecture says of itself."""
    return (find_network(arch).__doc__ or "").partition("\n")[0]
