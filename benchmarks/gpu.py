"""What a GPU makes of training and prediction, in under four minutes: ``gpu.py DATA``.

Prints a JSON object a line: equality of the features with those of the CPU; what a step of each
network takes, and would take captured; clips/s of the bare steps and of training with the recipe,
by batch size, with the GPU's utilisation meanwhile and where a step waits for it; balanced accuracy
after some epochs; prediction. ``--device cpu`` tries the program itself where there is no GPU.
"""

import argparse
import dataclasses
import json
import shutil
import subprocess
import threading
import time
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_training import bare_step
from results import COMMANDS
from torch.nn import functional

from speechcls.config import NetworkConfig, TrainConfig
from speechcls.data.corpus import Corpus, load_corpus
from speechcls.errors import ConfigError
from speechcls.features.mel import FEATURES
from speechcls.layouts.load import load_dataset
from speechcls.networks.recogniser import build_recogniser
from speechcls.networks.zoo import NETWORKS, feature_kind
from speechcls.runtime.classifier import Classifier
from speechcls.training.gradient import Gradient
from speechcls.training.loop import batches_for, fit, set_feature_statistics
from speechcls.training.optimisation import Epoch, Training
from speechcls.training.plan import TrainPlan, plan_training
from speechcls.training.settings import NOTHING, TrainSettings

BATCH_SIZES = 64, 256, 1024
ZOO_CLIPS, ZOO_S = 256, 0.3
N_WARM_UP = 5
MODEL = Path(__file__).parent.parent / "models" / "commands"


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="Speech Commands")
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--epochs", type=int, default=12, help="to measure the accuracy after")
    arguments = parser.parse_args()
    device, seconds = torch.device(arguments.device), arguments.seconds
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    tell("machine", device=name, torch=torch.__version__, threads=torch.get_num_threads())
    corpus = load_corpus(
        load_dataset(arguments.data),
        settings_of(TrainConfig.batch_size).features,
        None,
        COMMANDS.split(","),
    )
    tell("features", **features(corpus, device))
    for arch in NETWORKS:
        tell("captured", arch=arch, **captured(corpus, arch, device))
    for size in BATCH_SIZES:
        plan = plan_of(corpus, size, device)
        step = bare_step(plan.recogniser.to(device), size, len(plan.corpus.words))
        tell("bare steps", batch_size=size, **timed(step, size, seconds, device))
        tell("training", batch_size=size, **training(plan, seconds))
    tell("accuracy", **accuracy(plan_of(corpus, 512, device, arguments.epochs)))
    tell("prediction", **prediction(corpus, arguments.device, seconds))


def tell(what: str, **values: Any) -> None:
    """Print one measurement."""
    print(json.dumps({"what": what, **values}), flush=True)


def settings_of(batch_size: int, epochs: int = TrainConfig.epochs) -> TrainSettings:
    """Return the recipe of the default network, with the learning rate of larger batches."""
    lr = TrainConfig.lr * (batch_size / TrainConfig.batch_size) ** 0.25
    training = {"batch_size": batch_size, "epochs": epochs, "lr": lr, "from_model": NOTHING}
    features = {"kind": "log-mel"}
    return TrainSettings.from_sections({"training": training, "features": features})


def plan_of(
    corpus: Corpus, size: int, device: torch.device, epochs: int = TrainConfig.epochs
) -> TrainPlan:
    """Return a training that is ready to start."""
    return plan_training(corpus, settings_of(size, epochs), device)


def features(corpus: Corpus, device: torch.device) -> dict[str, float]:
    """Return the largest difference from the features of the CPU, dB."""
    samples = torch.from_numpy(corpus.samples(np.arange(min(512, len(corpus.split)))))
    found = {}
    for kind, module in FEATURES.items():
        of_cpu = module(dataclasses.replace(corpus.features, kind=kind))
        expected = of_cpu(samples)
        actual = of_cpu.to(device)(samples.to(device)).cpu()
        found[kind] = float((actual - expected).abs().max())
    return found


def captured(corpus: Corpus, arch: str, device: torch.device) -> dict[str, float]:
    """Return milliseconds of plain and captured steps, and the difference of their gradients.

    It is relative to the largest gradient, without dropout.
    """
    config = dataclasses.replace(corpus.features, kind=feature_kind(arch))
    network = NetworkConfig(arch=arch, dropout=0.0)
    recogniser = build_recogniser(config, network, range(len(corpus.words)), seed=0).to(device)
    recogniser.train()
    shape = ZOO_CLIPS, config.n_frames, config.n_features
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
    targets = (torch.arange(ZOO_CLIPS) % len(corpus.words)).to(device)
    ways = {"plain_ms": False, "captured_ms": True}
    gradients, found = [], {}
    for name, may_capture in ways.items():
        gradient = Gradient(recogniser, functional.cross_entropy, ZOO_CLIPS, may_capture)
        step = partial(gradient.find, features, targets, print)
        found[name] = 1e3 * ZOO_CLIPS / timed(step, ZOO_CLIPS, ZOO_S, device)["clips_per_second"]
        gradients.append([w.grad.clone() for w in recogniser.parameters() if w.grad is not None])
        gradient.close()
    largest = max(float(gradient.abs().max()) for gradient in gradients[0])
    pairs = zip(gradients[0], gradients[-1], strict=True)
    difference = max(float((one - other).abs().max()) for one, other in pairs)
    return {**found, "difference": difference / largest}


def training(plan: TrainPlan, seconds: float) -> dict[str, Any]:
    """Return clips/s of the steps of a training, as users train, and where a step waits."""
    config, device = plan.settings.training, plan.device
    batches = batches_for(plan.recogniser, plan.corpus, config, device)
    plan.recogniser.to(device)
    set_feature_statistics(plan.recogniser, batches)
    run = Training(plan.recogniser, batches, config)
    end_s, n_steps = 0.0, 0

    def after_step(done: float) -> None:
        nonlocal n_steps
        n_steps += 1
        if time.perf_counter() > end_s and n_steps >= N_WARM_UP:
            raise _Enough

    with suppress(_Enough):
        while True:
            run.run_epoch(after_step, lambda: None, print)
    with warnings.catch_warnings(record=True) as caught, suppress(_Enough):
        warnings.simplefilter("always")
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("warn")
        run.run_epoch(after_step, lambda: None, print)  # one step
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("default")
    waits = [
        f"{warning.filename}:{warning.lineno}"
        for warning in caught
        if "synchroniz" in str(warning.message)
    ]
    synchronise(device)
    n_steps, begun = 0, time.perf_counter()
    end_s = begun + seconds
    with Utilisation(device) as utilisation, suppress(_Enough):
        while True:
            run.run_epoch(after_step, lambda: None, print)
    synchronise(device)
    taken_s = time.perf_counter() - begun
    run.gradient.close()
    clips = n_steps * config.batch_size / taken_s
    return {"clips_per_second": clips, "waits": waits, **utilisation.found}


class _Enough(Exception):
    """The time of a measurement is over."""


def timed(step: Any, size: int, seconds: float, device: torch.device) -> dict[str, float]:
    """Return clips/s of a step, after three to warm up."""
    for _ in range(3):
        step()
    synchronise(device)
    n_steps, begun = 0, time.perf_counter()
    while time.perf_counter() < begun + seconds:
        step()
        n_steps += 1
    synchronise(device)
    return {"clips_per_second": n_steps * size / (time.perf_counter() - begun)}


def synchronise(device: torch.device) -> None:
    """Wait for the GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()


class Utilisation:
    """The utilisation of the GPU, per cent, sampled twice a second by ``nvidia-smi``."""

    def __init__(self, device: torch.device) -> None:
        self.found: dict[str, float] = {}
        self._is_there = device.type == "cuda" and shutil.which("nvidia-smi") is not None
        self._samples: list[float] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def _sample(self) -> None:
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self._done.wait(0.5):
            done = subprocess.run(query, capture_output=True, text=True, check=True)
            self._samples.append(float(done.stdout.split()[0]))

    def __enter__(self) -> "Utilisation":
        if self._is_there:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._is_there:
            self._thread.join()
            self.found = {"utilisation": sum(self._samples) / max(1, len(self._samples))}


def accuracy(plan: TrainPlan) -> dict[str, float]:
    """Return the best balanced accuracy on the validation clips, and the time that it took."""
    begun, epochs = time.perf_counter(), list[Epoch]()
    config = plan.settings.training
    fit(plan.recogniser, plan.corpus, config, plan.device, on_epoch=epochs.append)
    best = max(epoch.validation_balanced_accuracy for epoch in epochs)
    seconds = time.perf_counter() - begun
    rate = float(np.median([epoch.clips_per_second for epoch in epochs]))
    return {
        "balanced_accuracy": best, "epochs": len(epochs), "seconds": seconds,
        "clips_per_second": rate,
    }  # fmt: skip


def prediction(corpus: Corpus, device: str, seconds: float) -> dict[str, Any]:
    """Return clips/s of the bundled model, and the difference from the CPU's probabilities."""
    windows = corpus.samples(np.arange(min(2_048, len(corpus.split))))
    of_cpu = Classifier.load(MODEL)
    try:
        on_device = Classifier.load(MODEL, device=device)
    except ConfigError as error:  # ONNX Runtime for GPUs is a package of its own
        return {"not_measured": str(error)}
    difference = np.abs(of_cpu.probabilities(windows) - on_device.probabilities(windows)).max()
    size, cpu = len(windows), torch.device("cpu")
    rate = timed(lambda: on_device.probabilities(windows), size, seconds, cpu)
    return {"difference": float(difference), **rate}


if __name__ == "__main__":
    main()
