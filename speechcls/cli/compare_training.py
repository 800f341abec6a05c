"""The trainings of ``speechcls compare DATA --archs``: each architecture and seed, one budget."""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechcls.cli.messages import Messages
from speechcls.cli.progress import item_bar, work_bar
from speechcls.config import FeatureConfig, NetworkConfig, TrainConfig
from speechcls.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from speechcls.data.corpus import Corpus
    from speechcls.data.examples import Dataset
    from speechcls.networks.recogniser import Recogniser

_FEATURE_COST = 5_000_000
"""Multiply-adds whose time the features and changes of a clip take, about."""


@dataclass(frozen=True)
class _Run:
    """One training that is wanted."""

    place: Path
    network: NetworkConfig
    training: TrainConfig
    corpus: "Corpus"
    """With the features that suit the network."""

    @property
    def name(self) -> str:
        return f"{self.network.arch}, seed {self.training.seed}"

    def build(self) -> "Recogniser":
        from speechcls.labels import label_of_words
        from speechcls.networks.recogniser import build_recogniser

        label_of_output = label_of_words(self.corpus.words, self.corpus.labels)
        return build_recogniser(
            self.corpus.features, self.network, label_of_output, self.training.seed
        )

    def cost(self) -> int:
        """Return what an epoch costs against those of other networks."""
        import torch

        from speechcls.networks.size import count_multiply_adds

        frames = torch.zeros(1, self.corpus.features.n_frames, self.corpus.features.n_features)
        return _FEATURE_COST + count_multiply_adds(self.build().network.eval(), frames)


def train_all(
    dataset: "Dataset",
    archs: Sequence[str],
    n_seeds: int,
    size: str,
    training: TrainConfig,
    out: Path,
    commands: list[str],
    test_speakers: list[str],
    device: str,
    jobs: int,
    messages: Messages,
) -> dict[str, list[Path]]:
    """Train what ``out`` does not hold yet; return the models of each architecture by seed."""
    from speechcls.data.corpus import load_corpus
    from speechcls.networks.size import fit_size
    from speechcls.networks.zoo import NETWORKS, feature_kind
    from speechcls.training.loop import choose_device

    if unknown := [arch for arch in archs if arch not in NETWORKS]:
        raise ConfigError(f"--archs: no {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    on = choose_device(device)
    with item_bar(messages, "reading", len(dataset.examples)) as on_clip:
        corpus = load_corpus(
            dataset,
            FeatureConfig(kind="log-mel"),
            commands=commands,
            test_speakers=test_speakers,
            jobs=jobs,
            on_clip=on_clip,
        )
    for warning in corpus.warnings:
        messages.warn(warning)
    messages.note(corpus.summary())
    runs = []
    for arch in archs:
        features = dataclasses.replace(corpus.features, kind=feature_kind(arch))
        network = fit_size(size, features, NetworkConfig(arch=arch), len(corpus.words))
        own = dataclasses.replace(corpus, features=features)
        for seed in range(n_seeds):
            seeded = dataclasses.replace(training, seed=seed)
            runs.append(_Run(out / f"{arch}-seed{seed}", network, seeded, own))
    # Everything that can be refused is refused before the hours of training.
    missing = [run for run in runs if not _is_done(run)]
    if len(missing) < len(runs):
        messages.note(f"{len(runs) - len(missing)} of {len(runs)} models lie in {out} already")
    _train_missing(missing, str(on), commands, messages)
    return {
        arch: [run.place for run in runs if run.network.arch == arch]
        for arch in dict.fromkeys(archs)
    }


def _is_done(run: _Run) -> bool:
    """Whether the model lies in its place; one of another budget or other data is refused."""
    from speechcls.artifact.format import METRICS
    from speechcls.artifact.store import check_place, load_artifact, load_split
    from speechcls.training.publish import hash_data

    if not os.path.lexists(run.place):
        check_place(run.place, force=False)
        return False
    artifact = load_artifact(run.place)
    try:
        metrics: Any = json.loads((run.place / METRICS).read_bytes())
        training, data = metrics["training"], metrics["data"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{run.place / METRICS}: missing or damaged; remove {run.place}, to train it again"
        ) from error
    splits = {(row.digest, row.split) for row in load_split(artifact)}
    told = (
        ("network", artifact.network, run.network),
        ("features", artifact.features, run.corpus.features),
        ("labels", artifact.labels, run.corpus.labels),
        ("training", training, run.training.to_dict()),
        ("data", data, hash_data(run.corpus)),
        ("split", splits, {(row.digest, row.split) for row in run.corpus.rows}),
    )
    if other := [name for name, there, wanted in told if there != wanted]:
        raise ConfigError(
            f"{run.place}: was made with other {' and '.join(other)}; choose another --out, or"
            " remove it"
        )
    return True


def _train_missing(
    runs: Sequence[_Run], device: str, commands: list[str], messages: Messages
) -> None:
    costs = [run.cost() * run.training.epochs for run in runs]
    started, done = time.monotonic(), 0
    with work_bar(messages, "training", sum(costs)) as on_cost:
        for number, (run, cost) in enumerate(zip(runs, costs, strict=True), start=1):

            def on_share(share: float, done: int = done, cost: int = cost) -> None:
                on_cost(done + share * cost)

            try:
                accuracy = _train(run, device, commands, on_share)
            except KeyboardInterrupt:
                messages.note("what is trained is kept; the same command goes on from there")
                raise
            done += cost
            left_s = (time.monotonic() - started) * (sum(costs) - done) / done
            left = f", about {_minutes(left_s)} left" if left_s else ""
            messages.note(
                f"{run.name}: {100 * accuracy:.1f} % of the validation clips right"
                f" ({number} of {len(runs)}{left})"
            )


def _train(run: _Run, device: str, commands: list[str], on_share: Callable[[float], None]) -> float:
    """Train and save a model; return its accuracy on the validation clips."""
    import torch

    from speechcls.artifact.format import Artifact
    from speechcls.training.loop import Epoch, fit
    from speechcls.training.publish import save_trained

    n_done = 0

    def on_epoch(epoch: Epoch) -> None:
        nonlocal n_done
        n_done = epoch.epoch

    def on_step(share: float) -> None:
        on_share((n_done + share) / run.training.epochs)

    recogniser, corpus = run.build(), run.corpus
    result = fit(recogniser, corpus, run.training, torch.device(device), on_epoch, on_step)
    if result.interrupted or result.best is None:
        raise KeyboardInterrupt
    artifact = Artifact(run.place, corpus.features, run.network, corpus.labels, corpus.words)
    return save_trained(
        artifact, recogniser, corpus, result, run.training, device, commands, False
    ).accuracy


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
