"""The training loop."""

import copy
import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from speechcls.config import TrainConfig
from speechcls.data.corpus import Corpus
from speechcls.errors import ConfigError
from speechcls.networks.recogniser import Recogniser
from speechcls.training.augment import mask_features
from speechcls.training.batches import Batches, seed_of
from speechcls.training.stream_batches import StreamBatches


@dataclass(frozen=True)
class Epoch:
    """The metrics of one epoch."""

    epoch: int
    """From 1."""
    loss: float
    """Mean training loss per clip, on augmented clips and changing weights."""
    validation_loss: float
    validation_accuracy: float
    lr: float
    """Learning rate at the end of the epoch."""
    clips_per_second: float
    duration_s: float
    is_best: bool


@dataclass
class FitResult:
    """History of a training; the recogniser has the weights of the best epoch."""

    history: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None
    interrupted: bool = False


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    ConfigError
        When this machine has no such device, naming those that it has.
    """
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise ConfigError(
            f"{name} is not on this machine; there is {', '.join(available)}", field="device"
        )
    return torch.device(name)


def fit(
    recogniser: Recogniser,
    corpus: Corpus,
    config: TrainConfig,
    device: torch.device,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_step: Callable[[float], None] = lambda done: None,
    freeze_feature_stats: bool = False,
) -> FitResult:
    """Train ``recogniser``; afterwards it is on the CPU with the weights of the best epoch.

    The best epoch has the highest validation accuracy and, among equals, the lowest validation
    loss. ``KeyboardInterrupt`` ends the training early.

    Parameters
    ----------
    on_epoch : called after each epoch
    on_step : called after each step with the fraction of the epoch that is done
    freeze_feature_stats : keep mean and deviation of the features, as a trained backbone needs

    Source
    ------
    AdamW: Loshchilov & Hutter 2019; cosine: Loshchilov & Hutter 2017; warm-up: Goyal et al. 2017;
    clipping: Pascanu et al. 2013; label smoothing: Szegedy et al. 2016; EMA of the weights:
    Polyak & Juditsky 1992, Tarvainen & Valpola 2017.
    """
    batches = _batches_for(recogniser, corpus, config, device)
    recogniser.to(device)
    if not freeze_feature_stats:
        set_feature_statistics(recogniser, batches)
    optimizer = torch.optim.AdamW(
        recogniser.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    ema = _WeightEma(recogniser, config.ema_decay)
    n_steps = config.epochs * batches.n_steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, n_steps, config.warmup_ratio)
    )
    result, best_state = FitResult(), copy.deepcopy(recogniser.state_dict())
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(config.seed)  # dropout draws from the global generator
            for number in range(1, config.epochs + 1):
                epoch = _run_epoch(
                    number, ema, batches, optimizer, schedule, config, result.best, on_step
                )
                result.history.append(epoch)
                if epoch.is_best:
                    # In one statement, since Ctrl-C may come in between.
                    best_state, result.best = copy.deepcopy(ema.model.state_dict()), epoch
                on_epoch(epoch)
                if result.best and number - result.best.epoch >= config.patience:
                    break
    except KeyboardInterrupt:
        result.interrupted = True
    recogniser.load_state_dict(best_state)
    recogniser.to("cpu").eval()
    return result


def _batches_for(
    recogniser: Recogniser, corpus: Corpus, config: TrainConfig, device: torch.device
) -> Batches:
    """Return the corpus in batches of clips, or of concatenated clips for a streaming network."""
    network = recogniser.network
    if network.is_streaming:
        return StreamBatches(corpus, config, device, network.frames_per_step)
    return Batches(corpus, config, device)


def learning_rate_factor(step: int, n_steps: int, warmup_ratio: float) -> float:
    """Return the fraction of the peak learning rate at ``step`` (from 0) of ``n_steps``."""
    n_warmup = max(1, round(warmup_ratio * n_steps))
    if step < n_warmup:
        return (step + 1) / n_warmup
    return 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / max(1, n_steps - n_warmup)))


class _WeightEma:
    """The recogniser in training and the EMA of its weights."""

    def __init__(self, recogniser: Recogniser, decay: float) -> None:
        self.recogniser = recogniser
        self.model = recogniser
        if decay:
            device = recogniser.feature_mean.device
            self.model = copy.deepcopy(recogniser).to(
                device
            )  # which flattens the weights for cuDNN
        self._decay, self._n_steps = decay, 0
        # A state dict holds the tensors themselves, which every step updates in place.
        pairs = list(
            zip(self.model.state_dict().values(), recogniser.state_dict().values(), strict=True)
        )
        self._values = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    def step(self) -> None:
        """Update the EMA after one step of the optimiser."""
        if not self._decay:
            return
        self._n_steps += 1
        # A short memory at first, so that the random initialisation is soon forgotten.
        decay = min(self._decay, self._n_steps / (10 + self._n_steps))
        averages, weights = zip(*self._values, strict=True)
        torch._foreach_lerp_(averages, weights, 1 - decay)
        for average, count in self._counts:
            average.copy_(count)


def _run_epoch(
    number: int,
    ema: _WeightEma,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    config: TrainConfig,
    best: Epoch | None,
    on_step: Callable[[float], None],
) -> Epoch:
    """Train for one epoch, then validate the EMA of the weights."""
    recogniser = ema.recogniser.train()
    started, total_loss, n_clips = time.perf_counter(), torch.zeros((), device=batches.device), 0
    generator = torch.Generator().manual_seed(seed_of(config.seed, number))
    parameters = list(recogniser.parameters())
    for step, (features, targets) in enumerate(batches.training(number), start=1):
        with torch.no_grad():
            features = recogniser.normalise(features)
            features = mask_features(features, recogniser.features.config, config, generator)
        loss = batches.loss(forward_mixed_precision(recogniser, features), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
        optimizer.step()
        schedule.step()
        ema.step()
        total_loss += loss.detach() * len(targets) * batches.clips_per_row
        n_clips += len(targets) * batches.clips_per_row
        on_step(step / batches.n_steps)
    duration_s = time.perf_counter() - started
    validation_loss, accuracy = evaluate_loss(ema.model, batches)
    return Epoch(
        epoch=number,
        loss=float(total_loss) / n_clips,
        validation_loss=validation_loss,
        validation_accuracy=accuracy,
        lr=optimizer.param_groups[0]["lr"],
        clips_per_second=n_clips / duration_s,
        duration_s=duration_s,
        is_best=best is None
        or (-accuracy, validation_loss) < (-best.validation_accuracy, best.validation_loss),
    )


def forward_mixed_precision(recogniser: Recogniser, features: Tensor) -> Tensor:
    """Return logits (batch, n_outputs) in float32, computed in bfloat16 where that is faster.

    The features (batch, n_frames, n_features) stay float32, which decibels need.
    """
    device = features.device.type
    with torch.autocast(device, dtype=torch.bfloat16, enabled=_mixes_precision(device)):
        logits: Tensor = recogniser.network(features)
    return logits.float()


@functools.cache
def _mixes_precision(device: str) -> bool:
    """Whether the device multiplies bfloat16 natively; others are slower with it."""
    if device != "cpu":
        return device == "cuda"
    available = getattr(torch.cpu, "get_capabilities", dict[str, bool])()  # an older torch has none
    return any(available.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def evaluate_loss(recogniser: Recogniser, batches: Batches) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy on the validation clips."""
    recogniser.eval()
    loss = torch.zeros((), device=batches.device)
    n_right, n_clips = torch.zeros((), device=batches.device), 0
    with torch.no_grad():
        for features, targets in batches.validation():
            # In float32, as the exported model runs.
            logits = recogniser.logits_of(recogniser.normalise(features))
            loss += nn.functional.cross_entropy(logits, targets, reduction="sum")
            n_right += (logits.argmax(dim=1) == targets).sum()
            n_clips += len(targets)
    return float(loss) / n_clips, float(n_right) / n_clips


def set_feature_statistics(recogniser: Recogniser, batches: Batches) -> None:
    """Set mean and standard deviation of each feature to those of the training clips."""
    total = torch.zeros(recogniser.feature_mean.shape, dtype=torch.float64)
    squares, n_frames = torch.zeros_like(total), 0
    with torch.no_grad():
        for features in batches.training_features():
            features = features.flatten(0, 1).cpu().double()
            total += features.sum(dim=0)
            squares += features.square().sum(dim=0)
            n_frames += len(features)
    mean = total / n_frames
    variance = (squares / n_frames - mean.square()).clamp(min=0.0)
    recogniser.feature_mean.copy_(mean)
    # A constant feature, as in digital silence, must not be divided by zero.
    recogniser.feature_std.copy_(variance.sqrt().clamp(min=1e-3))
