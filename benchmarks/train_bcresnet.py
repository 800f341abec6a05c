"""``speechcls train`` with the networks bc-resnet-1, bc-resnet-3 and bc-resnet-8 in the zoo.

Everything else, data, features, recipe and artifact, is as for the networks of the package.
"""

from bcresnet import BCResNet

from speechcls.cli.app import main
from speechcls.config import NetworkConfig
from speechcls.networks.zoo import NETWORKS, Recurrent

SCALES = (1, 3, 8)


def network_of(scale: int) -> type[Recurrent]:
    """Return a class that is built as those of the zoo are."""

    class _BCResNet(BCResNet):
        front = BCResNet  # takes log-mel bands

        def __init__(self, config: NetworkConfig, n_features: int, n_outputs: int) -> None:
            super().__init__(scale, n_outputs)

    return _BCResNet  # type: ignore[return-value]


if __name__ == "__main__":
    NETWORKS.update({f"bc-resnet-{scale}": network_of(scale) for scale in SCALES})
    main()
