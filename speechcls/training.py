"""The one training loop."""

import copy
import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from speechcls.augment import (
    add_noise,
    change_gain,
    change_speed,
    coloured_noise,
    cut_noise,
    equalise,
    fade_noise,
    mask,
    reverberate,
    scramble,
    shift,
)
from speechcls.config import SCRAMBLED, SILENCE, UNKNOWN, TrainConfig
from speechcls.corpus import Corpus, mean_command_count
from speechcls.errors import ConfigError
from speechcls.recogniser import Recogniser

_CLIP, _SCRAMBLED, _NOISE = range(3)  # a clip as it is, one scrambled, fresh background noise
_KINDS = 3
_COLOURED_S = 10  # of each pure colour of noise, beside what was recorded
_FEATURE_BATCH = 32  # clips whose spectra fit the processor's cache


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training clips came to."""

    epoch: int
    """From 1."""
    loss: float
    """Mean over the training clips, while they trained."""
    validation_loss: float
    validation_accuracy: float
    lr: float
    """Learning rate at the end."""
    clips_per_second: float
    duration_s: float
    is_best: bool


@dataclass
class FitResult:
    """What training came to; the recogniser holds the weights of the best epoch."""

    history: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None
    interrupted: bool = False


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is CUDA, else Apple's MPS, else the processor.

    Raises
    ------
    ConfigError
        When it is not there, naming those that are.
    """
    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    if name == "auto":
        return torch.device(there[0])
    if name not in there:
        raise ConfigError(f"--device {name}: not on this machine; there is {', '.join(there)}")
    return torch.device(name)


def fit(
    recogniser: Recogniser,
    corpus: Corpus,
    config: TrainConfig,
    device: torch.device,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_step: Callable[[float], None] = lambda done: None,
    keeps_statistics: bool = False,
) -> FitResult:
    """Train ``recogniser`` and leave it on the processor with its best weights.

    Best is the epoch of highest validation accuracy, of lowest validation loss among equals.
    ``KeyboardInterrupt`` ends the training early.

    Parameters
    ----------
    on_epoch : called after each epoch
    on_step : called after each step with the share of the epoch that is done
    keeps_statistics : whether mean and deviation of the features stay, as a trained body needs them

    Source
    ------
    AdamW: Loshchilov & Hutter 2019; cosine: Loshchilov & Hutter 2017; warm-up: Goyal et al. 2017;
    clipping: Pascanu et al. 2013; label smoothing: Szegedy et al. 2016; running average of the
    weights: Polyak & Juditsky 1992, Tarvainen & Valpola 2017.
    """
    batches = _Batches(corpus, config, device)
    recogniser.to(device)
    if not keeps_statistics:
        set_feature_statistics(recogniser, batches)
    optimizer = torch.optim.AdamW(
        recogniser.parameters(), lr=config.lr, weight_decay=config.weight_decay
    )
    average = _Average(recogniser, config.average_decay)
    n_steps = config.epochs * batches.n_steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, n_steps, config.warmup_share)
    )
    result, best_state = FitResult(), copy.deepcopy(recogniser.state_dict())
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(config.seed)  # dropout draws from the global generator
            for number in range(1, config.epochs + 1):
                epoch = _run_epoch(
                    number, average, batches, optimizer, schedule, config, result.best, on_step
                )
                result.history.append(epoch)
                if epoch.is_best:
                    # At once, for Ctrl-C may come in between.
                    best_state, result.best = copy.deepcopy(average.model.state_dict()), epoch
                on_epoch(epoch)
                if result.best and number - result.best.epoch >= config.patience:
                    break
    except KeyboardInterrupt:
        result.interrupted = True
    recogniser.load_state_dict(best_state)
    recogniser.to("cpu").eval()
    return result


def learning_rate_factor(step: int, n_steps: int, warmup_share: float) -> float:
    """Return the share of the highest learning rate at ``step`` (from 0) of ``n_steps``."""
    n_warmup = max(1, round(warmup_share * n_steps))
    if step < n_warmup:
        return (step + 1) / n_warmup
    return 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / max(1, n_steps - n_warmup)))


class _Average:
    """The recogniser in training, and beside it the running average of its weights."""

    def __init__(self, recogniser: Recogniser, decay: float) -> None:
        self.recogniser = recogniser
        self.model = recogniser
        if decay:
            device = recogniser.feature_mean.device
            self.model = copy.deepcopy(recogniser).to(device)  # which joins the weights for cuDNN
        self._decay, self._n_steps = decay, 0

    def step(self) -> None:
        """Take in the weights after one step of the optimiser."""
        if not self._decay:
            return
        self._n_steps += 1
        # Short at first, so that the random start is soon forgotten.
        decay = min(self._decay, self._n_steps / (10 + self._n_steps))
        with torch.no_grad():
            averages, weights = self.model.state_dict(), self.recogniser.state_dict()
            for name, average in averages.items():
                if average.is_floating_point():
                    average.lerp_(weights[name], 1 - decay)
                else:
                    average.copy_(weights[name])


def _run_epoch(
    number: int,
    average: _Average,
    batches: "_Batches",
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    config: TrainConfig,
    best: Epoch | None,
    on_step: Callable[[float], None],
) -> Epoch:
    """Train once over all clips, then validate the average."""
    recogniser = average.recogniser.train()
    started, total_loss, n_clips = time.perf_counter(), torch.zeros((), device=batches.device), 0
    loss_of = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
    generator = torch.Generator().manual_seed(_seed_of(config.seed, number))
    for step, (samples, targets) in enumerate(batches.training(number), start=1):
        with torch.no_grad():
            features = recogniser.standardised(samples)
            features = _mask(features, recogniser, config, generator)
        loss = loss_of(_logits(recogniser, features), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(recogniser.parameters(), config.max_grad_norm)
        optimizer.step()
        schedule.step()
        average.step()
        total_loss += loss.detach() * len(targets)
        n_clips += len(targets)
        on_step(step / batches.n_steps)
    duration_s = time.perf_counter() - started
    validation_loss, accuracy = evaluate_loss(average.model, batches)
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


def _mask(
    features: Tensor, recogniser: Recogniser, config: TrainConfig, generator: torch.Generator
) -> Tensor:
    """Return features (batch, n_frames, n_features) blanked out in part."""
    _, n_frames, n_features = features.shape
    longest = round(config.time_mask_share * n_frames)
    features = mask(features, 1, config.time_masks, longest, generator)
    if recogniser.features.config.kind == "log-mel":
        widest = round(config.frequency_mask_share * n_features)
        features = mask(features, 2, config.frequency_masks, widest, generator)
    return features


def _seed_of(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch) % 2**63


def _logits(recogniser: Recogniser, features: Tensor) -> Tensor:
    """Return logits (batch, n_outputs) in float32, by mixed precision where it is faster.

    Features (batch, n_frames, n_features) are given, since decibels need all of float32.
    """
    device = features.device.type
    with torch.autocast(device, dtype=torch.bfloat16, enabled=_mixes_precision(device)):
        logits: Tensor = recogniser.network(features)
    return logits.float()


@functools.cache
def _mixes_precision(device: str) -> bool:
    """Whether the device multiplies bfloat16 itself; one that does not is slower with it."""
    if device != "cpu":
        return device == "cuda"
    there = getattr(torch.cpu, "get_capabilities", dict[str, bool])()  # an older torch has none
    return any(there.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def evaluate_loss(recogniser: Recogniser, batches: "_Batches") -> tuple[float, float]:
    """Return mean cross-entropy and accuracy on the validation clips."""
    recogniser.eval()
    loss = torch.zeros((), device=batches.device)
    n_right, n_clips = torch.zeros((), device=batches.device), 0
    with torch.no_grad():
        for samples, targets in batches.validation():
            logits = recogniser(samples)  # with all digits, as it will be used
            loss += nn.functional.cross_entropy(logits, targets, reduction="sum")
            n_right += (logits.argmax(dim=1) == targets).sum()
            n_clips += len(targets)
    return float(loss) / n_clips, float(n_right) / n_clips


def set_feature_statistics(recogniser: Recogniser, batches: "_Batches") -> None:
    """Set mean and standard deviation of each feature over the training clips."""
    total = torch.zeros(recogniser.feature_mean.shape, dtype=torch.float64)
    squares, n_frames = torch.zeros_like(total), 0
    with torch.no_grad():
        for samples in batches.training_clips():
            features = recogniser.features(samples).flatten(0, 1).cpu().double()
            total += features.sum(dim=0)
            squares += features.square().sum(dim=0)
            n_frames += len(features)
    mean = total / n_frames
    variance = (squares / n_frames - mean.square()).clamp(min=0.0)
    recogniser.feature_mean.copy_(mean)
    # A feature that never changes, as in digital silence, must not be divided by zero.
    recogniser.feature_std.copy_(variance.sqrt().clamp(min=1e-3))


class _Batches:
    """The corpus on the device, dealt out in batches of (samples, targets).

    Targets are words in training and labels in validation.
    """

    def __init__(self, corpus: Corpus, config: TrainConfig, device: torch.device) -> None:
        self.device, self._config = device, config
        self._sample_rate = corpus.features.sample_rate
        self._windows = torch.from_numpy(corpus.windows).to(device)
        self._labels = torch.from_numpy(corpus.label_index).to(device)
        self._words = torch.from_numpy(corpus.word_index).to(device)
        generator = torch.Generator().manual_seed(config.seed)
        coloured = coloured_noise(_COLOURED_S * self._sample_rate, generator)
        recorded = torch.from_numpy(corpus.noise).float() / 32_768.0
        self._noise = torch.cat([recorded, coloured]).to(device)
        training = np.flatnonzero(corpus.split == "train")
        self._validation = torch.from_numpy(np.flatnonzero(corpus.split == "validation"))
        names = np.array(corpus.labels)[corpus.label_index[training]]
        n_command = mean_command_count(list(names))
        self._unknown = torch.from_numpy(training[names == UNKNOWN])
        self._known = torch.from_numpy(training[names != UNKNOWN])
        self._spoken = torch.cat([self._known, self._unknown])
        self._n_unknown = min(len(self._unknown), max(1, round(config.unknown_share * n_command)))
        self._n_silence = round(config.silence_share * n_command) if len(recorded) else 0
        self._silence = corpus.words.index(SILENCE) if self._n_silence else 0
        is_command = (names != UNKNOWN) & (names != SILENCE)
        self._commands = torch.from_numpy(training[is_command])
        self._n_scrambled, self._scrambled = 0, 0
        if SCRAMBLED in corpus.words and len(self._commands):
            self._n_scrambled = round(config.scramble_share * n_command)
            self._scrambled = corpus.words.index(SCRAMBLED)
        n_clips = len(self._known) + self._n_unknown + self._n_scrambled + self._n_silence
        self._n_repeats = math.ceil(config.epoch_clips / n_clips)
        self.n_steps = math.ceil(self._n_repeats * n_clips / config.batch_size)

    def training(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, augmented, in an order of its own."""
        generator = torch.Generator().manual_seed(_seed_of(self._config.seed, epoch))
        index = torch.cat([self._draw(generator) for _ in range(self._n_repeats)])
        index = index[torch.randperm(len(index), generator=generator)]
        for chunk in torch.split(index, self._config.batch_size):
            clip, kind = (part.to(self.device) for part in (chunk // _KINDS, chunk % _KINDS))
            samples, targets = self._take(clip, self._words)
            if (is_scrambled := kind == _SCRAMBLED).any():
                words = targets[is_scrambled]
                partners = torch.randint(len(self._spoken), (len(words),), generator=generator)
                others = self._take(self._spoken[partners], self._words)
                samples[is_scrambled] = scramble(samples[is_scrambled], words, *others, generator)
                targets[is_scrambled] = self._scrambled
            samples = self._augment(samples, generator)
            if (is_noise := kind == _NOISE).any():
                cuts = cut_noise(self._noise, int(is_noise.sum()), samples.shape[1], generator)
                samples[is_noise] = fade_noise(cuts, generator)
                targets[is_noise] = self._silence
            yield samples, targets

    def _draw(self, generator: torch.Generator) -> Tensor:
        """Return what an epoch consists of: ``_KINDS`` times the clip's index, plus what it is."""
        unknown = torch.randperm(len(self._unknown), generator=generator)[: self._n_unknown]
        n_clips = max(1, len(self._commands))
        scrambled = torch.randint(n_clips, (self._n_scrambled,), generator=generator)
        return torch.cat(
            [
                _KINDS * torch.cat([self._known, self._unknown[unknown]]) + _CLIP,
                _KINDS * self._commands[scrambled] + _SCRAMBLED,
                torch.full((self._n_silence,), _NOISE),
            ]
        )

    def _augment(self, samples: Tensor, generator: torch.Generator) -> Tensor:
        """Return clips (batch, n_samples) as another voice might have said them elsewhere."""
        config = self._config
        if config.speed_share:
            samples = change_speed(samples, config.speed_share, generator)
        samples = shift(samples, round(config.shift_share * samples.shape[1]), generator)
        if config.equaliser_share:
            samples = equalise(samples, config.equaliser_share, config.equaliser_db, generator)
        if config.reverb_share:
            samples = reverberate(samples, config.reverb_share, self._sample_rate, generator)
        if config.noise_share:
            snr_db = config.snr_low_db, config.snr_high_db
            samples = add_noise(samples, self._noise, config.noise_share, snr_db, generator)
        return change_gain(samples, config.gain_db, generator)

    def validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the validation clips."""
        for chunk in torch.split(self._validation, self._config.batch_size):
            yield self._take(chunk, self._labels)

    def training_clips(self) -> Iterator[Tensor]:
        """Yield the samples of every training clip once."""
        for chunk in torch.split(self._spoken, _FEATURE_BATCH):
            yield self._take(chunk, self._words)[0]

    def _take(self, index: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        index = index.to(self.device)
        return self._windows[index].float() / 32_768.0, targets[index]
