"""``speechcls archs``."""

import json
import sys
from typing import Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.config import FeatureConfig, NetworkConfig


@reports_errors
def archs(
    hidden_size: Annotated[
        int, typer.Option(min=1, help="Units of a layer, in each direction.")
    ] = NetworkConfig.hidden_size,
    num_layers: Annotated[
        int, typer.Option(min=1, help="Recurrent layers.")
    ] = NetworkConfig.num_layers,
    n_labels: Annotated[int, typer.Option(min=2, help="Labels to tell apart.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the networks with their size and cost.

    Multiply-adds are those of the network on one clip of one second; features come on top.

    Example: speechcls archs --hidden-size 64
    """
    import torch

    from speechcls.networks import NETWORKS, build_recogniser, count_multiply_adds, count_parameters

    features = FeatureConfig()
    rows = []
    for name, network_class in NETWORKS.items():
        config = NetworkConfig(arch=name, hidden_size=hidden_size, num_layers=num_layers)
        network = build_recogniser(features, config, n_labels, seed=0).network.eval()
        frames = torch.zeros(1, features.n_frames, features.n_features)
        about = (network_class.__doc__ or "").splitlines()[0]
        rows.append((name, count_parameters(network), count_multiply_adds(network, frames), about))
    if as_json:
        for name, n_parameters, n_multiply_adds, about in rows:
            line = {"arch": name, "parameters": n_parameters, "multiply_adds": n_multiply_adds}
            typer.echo(json.dumps(line | {"about": about}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="")
    for heading, side in (("arch", "left"), ("parameters", "right"), ("multiply-adds", "right")):
        table.add_column(heading, justify=side, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("about", no_wrap=True)
    for name, n_parameters, n_multiply_adds, about in rows:
        table.add_row(name, f"{n_parameters:,}", f"{n_multiply_adds:,}", about)
    Console(file=sys.stdout, width=120, markup=False, highlight=False).print(table)
