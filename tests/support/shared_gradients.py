"""What each process of a group finds of one network after the other: run by torchrun.

For every network the gradient of each batch of an epoch, by this process alone and by all of them,
and the state after an epoch. Writes ``<folder>/<rank>.json``.
"""

import dataclasses
import json
import sys
from pathlib import Path

import torch
from common_training import ALL_ON, CPU, FEATURES, build, make_corpus

from speechcls.config import STREAM_NETWORK, NetworkConfig, TrainConfig
from speechcls.distributed.batch_norm import synchronised
from speechcls.distributed.group import ALONE, joined
from speechcls.labels import SILENCE, UNKNOWN
from speechcls.networks.zoo import NETWORKS
from speechcls.training.gradient import Gradient
from speechcls.training.loop import batches_for, fit

BATCH = 21
"""Clips that two processes cannot share evenly; the last batch has a single one, for both."""


def networks():
    """Yield a name and a configuration for every network, and for those of streams."""
    small = NetworkConfig(hidden_size=16, num_layers=2, dropout=0.0, step_frames=4)
    for arch, network in NETWORKS.items():
        yield arch, dataclasses.replace(small, arch=arch)
        if network.can_stream:
            readout = STREAM_NETWORK["readout"]
            yield f"{arch} of a stream", dataclasses.replace(small, arch=arch, readout=readout)


def corpus_for(network):
    corpus = make_corpus(("a", "b", "c", "d", SILENCE), ("a", "b", UNKNOWN, SILENCE), n_each=22)
    running = 0.5 if network.is_streaming else 0.0
    return dataclasses.replace(corpus, features=dataclasses.replace(FEATURES, running_s=running))


def gradients(group, network, config):
    """Return the loss, the gradients and the features of each batch of an epoch."""
    corpus = corpus_for(network)
    recogniser = build(corpus, network).train()
    batches = batches_for(recogniser, corpus, config, CPU)
    batches.share(group)
    found = []
    with synchronised(recogniser, group):
        gradient = Gradient(recogniser, batches.loss, BATCH, group=group)
        for step, (features, targets) in enumerate(batches.training(1)):
            loss = gradient.find(features, targets, print)
            values = {name: w.grad.clone() for name, w in recogniser.named_parameters()}
            found.append((float(loss), values, features, targets, batches.n_rows(step)))
    return found


def compare(group, network, config):
    """Return by how much loss, features and gradients differ at most, and the rows of batches.

    ``relative`` is the difference of a gradient against the largest value of its tensor.
    """
    worst, rows = dict.fromkeys(("loss", "features", "gradient", "relative"), 0.0), []
    pairs = zip(gradients(ALONE, network, config), gradients(group, network, config), strict=True)
    for (loss, whole, features, targets, n), (own_loss, own, own_features, own_targets, _) in pairs:
        first, last = group.part(n)
        assert torch.equal(targets[first:last], own_targets)
        differences = {"loss": abs(own_loss - loss) / loss}
        differences["features"] = float((features[first:last] - own_features).abs().max())
        of_gradients = {name: float((own[name] - g).abs().max()) for name, g in whole.items()}
        differences["gradient"] = max(of_gradients.values())
        differences["relative"] = max(
            of_gradients[name] / max(float(g.abs().max()), 1e-3) for name, g in whole.items()
        )
        worst = {name: max(worst[name], differences[name]) for name in worst}
        rows.append([n, last - first])
    return worst | {"rows": rows}


def state_after_an_epoch(group, network, config):
    corpus = corpus_for(network)
    recogniser = build(corpus, network)
    result = fit(recogniser, corpus, config, CPU, group=group)
    values = {name: v.double().flatten().tolist() for name, v in recogniser.state_dict().items()}
    epoch = dataclasses.asdict(result.history[0])
    return values, {k: v for k, v in epoch.items() if k not in ("duration_s", "clips_per_second")}


def main(folder):
    torch.cpu.get_capabilities = dict  # in float32, whose sums are exact enough to compare
    config = TrainConfig(**(ALL_ON | {"epochs": 1, "batch_size": BATCH, "epoch_clips": 1}))
    found = {}
    with joined() as group:
        for name, network in networks():
            found[name] = compare(group, network, config)
            found[name]["alone"] = state_after_an_epoch(ALONE, network, config)
            found[name]["shared"] = state_after_an_epoch(group, network, config)
        Path(folder, f"{group.place.rank}.json").write_text(json.dumps(found))


main(sys.argv[1])
