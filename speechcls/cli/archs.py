"""``speechcls archs``."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from speechcls.cli.common import refuse, reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import AsJsonLines, Quiet, Verbose, option
from speechcls.cli.tables import print_json, print_table
from speechcls.config import SIZES, FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError

_HIDDEN = option("--hidden-size", min=1, help="Units of a layer, in each direction.")
_LAYERS = option("--num-layers", min=1, help="Recurrent layers.")
_SIZE = option("--size", help=f"{', '.join(SIZES)}: the largest hidden size within a budget.")
_LABELS = option("--n-labels", min=2, help="Labels that the network predicts.")


@reports_errors
def archs(
    ctx: typer.Context,
    hidden_size: Annotated[int, _HIDDEN] = NetworkConfig.hidden_size,
    size: Annotated[str | None, _SIZE] = None,
    num_layers: Annotated[int, _LAYERS] = NetworkConfig.num_layers,
    n_labels: Annotated[int, _LABELS] = 10,
    as_json: AsJsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List the network architectures with their size and cost.

    Multiply-adds are those of the network on a clip of one second, without its features.

    Example: speechcls archs --hidden-size 64
    """
    if size:
        refuse(ctx, ["hidden_size"], "with --size, which chooses it")
    messages = Messages(quiet, verbose)
    rows = list(_describe(hidden_size, size, num_layers, n_labels, messages))
    if as_json:
        for row in rows:
            print_json(row)
        return
    print_table(
        ("arch", "hidden", "parameters", "multiply-adds", "about"),
        (
            (
                row["arch"],
                str(row["hidden_size"]),
                f"{row['parameters']:,}",
                f"{row['multiply_adds']:,}",
                row["about"],
            )
            for row in rows
        ),
        text=("arch", "about"),
    )
    messages.next_steps(("train", "DATA", "--arch", "ARCH"), in_scripts=False)


def _describe(
    hidden_size: int, size: str | None, num_layers: int, n_labels: int, messages: Messages
) -> Iterator[dict[str, Any]]:
    """Yield name, size and cost of each architecture."""
    import torch

    from speechcls.networks.recogniser import build_recogniser
    from speechcls.networks.size import count_multiply_adds, count_parameters, fit_size
    from speechcls.networks.zoo import NETWORKS, describe, feature_kind

    for name in NETWORKS:
        config = NetworkConfig(arch=name, hidden_size=hidden_size, num_layers=num_layers)
        features = FeatureConfig(kind=feature_kind(name))
        if size:
            try:
                config = fit_size(size, features, config, n_labels)
            except ConfigError as error:
                if size not in SIZES:
                    raise
                messages.warn(error.message)  # the others may fit
                continue
        network = build_recogniser(features, config, range(n_labels), seed=0).network.eval()
        frames = torch.zeros(1, features.n_frames, features.n_features)
        yield {
            "arch": name,
            "hidden_size": config.hidden_size,
            "parameters": count_parameters(network),
            "multiply_adds": count_multiply_adds(network, frames),
            "about": describe(name),
        }
