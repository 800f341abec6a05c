"""``speechcls archs``."""

import json
from typing import Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.options import AsJsonLines
from speechcls.cli.tables import print_table
from speechcls.config import FeatureConfig, NetworkConfig


@reports_errors
def archs(
    hidden_size: Annotated[
        int, typer.Option(min=1, help="Units of a layer, in each direction.")
    ] = NetworkConfig.hidden_size,
    size: Annotated[
        str | None,
        typer.Option(help="tiny, small or base: hidden sizes that keep each below a size."),
    ] = None,
    num_layers: Annotated[
        int, typer.Option(min=1, help="Recurrent layers.")
    ] = NetworkConfig.num_layers,
    n_labels: Annotated[int, typer.Option(min=2, help="Words to tell apart.")] = 10,
    as_json: AsJsonLines = False,
) -> None:
    """List the networks with their size and cost.

    Multiply-adds are those of the network on one clip of one second; features come on top.

    Example: speechcls archs --hidden-size 64
    """
    import torch

    from speechcls.networks.recogniser import build_recogniser
    from speechcls.networks.size import count_multiply_adds, count_parameters, fit_size
    from speechcls.networks.zoo import NETWORKS, describe, feature_kind

    rows = []
    for name in NETWORKS:
        config = NetworkConfig(arch=name, hidden_size=hidden_size, num_layers=num_layers)
        features = FeatureConfig(kind=feature_kind(name))
        if size:
            config = fit_size(size, features, config, n_labels)  # of all its words
        network = build_recogniser(features, config, range(n_labels), seed=0).network.eval()
        frames = torch.zeros(1, features.n_frames, features.n_features)
        counts = count_parameters(network), count_multiply_adds(network, frames)
        rows.append((name, config.hidden_size, *counts, describe(name)))
    if as_json:
        for name, width, n_parameters, n_multiply_adds, about in rows:
            line = {
                "arch": name,
                "hidden_size": width,
                "parameters": n_parameters,
                "multiply_adds": n_multiply_adds,
            }
            typer.echo(json.dumps(line | {"about": about}))
        return
    print_table(
        ("arch", "hidden", "parameters", "multiply-adds", "about"),
        (
            (name, str(width), f"{n_parameters:,}", f"{n_multiply_adds:,}", about)
            for name, width, n_parameters, n_multiply_adds, about in rows
        ),
        text=("arch", "about"),
    )
