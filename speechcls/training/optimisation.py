"""The steps of a training: the optimiser, the EMA of the weights, and all that they depend on."""

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from speechcls.augmentation.draws import Generators, Rows, seed_of
from speechcls.augmentation.transforms import mask_features
from speechcls.config import TrainConfig
from speechcls.distributed.group import ALONE, Group
from speechcls.evaluation.metrics import command_recall, mean_recall, worst_confusion
from speechcls.networks.ema import WeightEma
from speechcls.networks.recogniser import Recogniser
from speechcls.parallel import prefetch
from speechcls.training.batches import Batches
from speechcls.training.checkpoint import State
from speechcls.training.gradient import Diverged, Failure, FiniteCheck, Gradient


@dataclass(frozen=True)
class Epoch:
    """The metrics of one epoch."""

    epoch: int
    """From 1."""
    loss: float
    """Mean training loss per clip, on augmented clips and changing weights."""
    validation_loss: float
    validation_balanced_accuracy: float
    """Mean recall of the labels that have validation clips, by which the best epoch is chosen."""
    validation_command_recall: float | None
    """That of the commands alone; see ``metrics.command_recall``."""
    validation_accuracy: float
    lr: float
    """Learning rate at the end of the epoch."""
    clips_per_second: float
    duration_s: float
    is_best: bool
    confused_truth: str = ""
    confused_prediction: str = ""
    confused_clips: int = 0
    """Of the worst confusion, see ``metrics.worst_confusion``; 0 where all clips are right."""


class Validation(NamedTuple):
    """The metrics of the validation clips."""

    loss: float
    """Mean cross-entropy."""
    balanced_accuracy: float
    command_recall: float | None
    accuracy: float
    confused: tuple[str, str, int] | None = None
    """The worst confusion, see ``metrics.worst_confusion``."""


@dataclass
class FitResult:
    """History of a training; the recogniser has the weights of the best epoch."""

    history: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None
    interrupted: bool = False
    diverged: str | None = None
    """Where the loss stopped being finite, which ended the training."""
    snapshots: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    """Weights by the epoch at whose end they were the model, those that the settings name."""


class _Step(NamedTuple):
    """A step of an epoch."""

    number: int
    """From 0."""
    lr: float


@dataclass
class _Place:
    """Where a training is within an epoch."""

    epoch: int
    """From 1."""
    generators: Generators
    """Ahead of the steps that are done, since the next batch is made meanwhile."""
    total_loss: Tensor
    """Of the clips so far."""
    n_steps: int = 0
    n_clips: int = 0
    duration_s: float = 0.0
    states: dict[str, Tensor] = field(default_factory=dict)
    """Of the generators, after these steps."""


class Training:
    """A recogniser in training, with everything that its next step depends on.

    Attributes
    ----------
    result : the epochs so far
    best_state : weights of the best epoch, or those of the beginning
    gradient : holds memory of a GPU until it is closed
    group : the processes that share the batches, all of which are in the same state
    """

    def __init__(
        self, recogniser: Recogniser, batches: Batches, config: TrainConfig, group: Group = ALONE
    ) -> None:
        self.result = FitResult()
        self.best_state = copy.deepcopy(recogniser.state_dict())
        self._batches, self._config, self.group = batches, config, group
        self._optimizer = torch.optim.AdamW(
            recogniser.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self._ema = WeightEma(recogniser, config.ema_decay)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, self._lr_factor)
        self._place = self._start_epoch(1)
        # Captured where no other thread uses the GPU meanwhile.
        setting = config.batch_size, not batches.are_made_ahead
        self.gradient = Gradient(recogniser, batches.loss, *setting, group)
        self._check = FiniteCheck[_Step](batches.device)

    def _start_epoch(self, epoch: int) -> _Place:
        loss = torch.zeros((), device=self._batches.device)
        return _Place(epoch, Generators(self._config.seed, epoch), loss)

    def _lr_factor(self, step: int) -> float:
        n_steps = self._config.epochs * self._batches.n_steps
        return learning_rate_factor(step, n_steps, self._config.warmup_ratio)

    def has_begun(self) -> bool:
        """Whether a step is done."""
        return self._place.epoch > 1 or self._place.n_steps > 0

    def is_done(self) -> bool:
        """Whether no epoch is left, or the best one lies too far back."""
        result, config = self.result, self._config
        n_done = len(result.history)
        is_over = result.best is not None and n_done - result.best.epoch >= config.patience
        return n_done >= config.epochs or is_over

    def run_epoch(
        self,
        after_step: Callable[[float], None],
        between: Callable[[], None],
        on_warning: Callable[[str], None],
    ) -> Epoch:
        """Train to the end of the epoch, then validate the EMA of the weights.

        Parameters
        ----------
        after_step : called after each step with the fraction of the epoch that is done
        between : called after each batch of validation
        on_warning : called when memory makes batches be computed in parts

        Raises
        ------
        Diverged
            When a loss is not finite; on a CPU the weights are still those of the step before.
        """
        place, batches = self._place, self._batches
        self._ema.recogniser.train()
        begun = time.perf_counter() - place.duration_s
        prepared = self._prepare(place)
        ready = prefetch(prepared) if batches.are_made_ahead else prepared
        for features, targets, states in ready:
            loss = self._step(features, targets, on_warning)
            place.states = states
            n_clips = batches.n_rows(place.n_steps) * batches.clips_per_row
            place.total_loss.add_(loss, alpha=n_clips)
            place.n_clips += n_clips
            place.n_steps += 1
            place.duration_s = time.perf_counter() - begun
            after_step(place.n_steps / batches.n_steps)
        self._refuse(self._check.find())
        place.duration_s = time.perf_counter() - begun  # a GPU has done them now
        validation = validate(self._ema.model, batches, between, self.group)
        if not math.isfinite(validation.loss):
            lr = self._optimizer.param_groups[0]["lr"]
            raise Diverged(f"epoch {place.epoch}: the validation loss is {validation.loss}", lr, [])
        epoch = self._summary(validation)
        self.result.history.append(epoch)
        if epoch.is_best:
            # In one statement, since Ctrl-C may come in between.
            self.best_state, self.result.best = copy.deepcopy(self._ema.model.state_dict()), epoch
        if epoch.epoch in self._config.snapshots:
            state = self._ema.model.state_dict()
            self.result.snapshots[epoch.epoch] = {k: v.cpu().clone() for k, v in state.items()}
        self._place = self._start_epoch(place.epoch + 1)
        return epoch

    def _summary(self, validation: Validation) -> Epoch:
        """Return the metrics of the epoch that is done."""
        place, best = self._place, self.result.best
        truth, prediction, n_confused = validation.confused or ("", "", 0)
        return Epoch(
            epoch=place.epoch,
            loss=float(place.total_loss) / place.n_clips,
            validation_loss=validation.loss,
            validation_balanced_accuracy=validation.balanced_accuracy,
            validation_command_recall=validation.command_recall,
            validation_accuracy=validation.accuracy,
            lr=self._optimizer.param_groups[0]["lr"],
            clips_per_second=place.n_clips / place.duration_s,
            duration_s=place.duration_s,
            is_best=best is None
            or (-validation.balanced_accuracy, validation.loss)
            < (-best.validation_balanced_accuracy, best.validation_loss),
            confused_truth=truth,
            confused_prediction=prediction,
            confused_clips=n_confused,
        )

    def _prepare(self, place: _Place) -> Iterator[tuple[Tensor, Tensor, dict[str, Tensor]]]:
        """Yield the rest of an epoch: normalised features with masks, targets, random states."""
        generators, recogniser, config = place.generators, self._ema.recogniser, self._config
        generators.start("masks")
        masks = generators.resume("masks")
        prepared = self._batches.training(place.epoch, place.n_steps, generators)
        for number, (features, targets) in enumerate(prepared, start=place.n_steps):
            n_rows = self._batches.n_rows(number)
            rows = Rows.between(masks, n_rows, *self.group.part(n_rows))
            features = recogniser.normalise(features)
            features = mask_features(features, recogniser.features.config, config, rows)
            yield features, targets, generators.states()

    def _step(self, features: Tensor, targets: Tensor, on_warning: Callable[[str], None]) -> Tensor:
        """Return the mean loss of a batch, after a step that lowers it."""
        self.group.begin_batch(self._batches.n_rows(self._place.n_steps))
        self._seed_dropout()
        loss = self.gradient.find(features, targets, on_warning)
        parameters = self._ema.recogniser.parameters()
        norm = nn.utils.clip_grad_norm_(parameters, self._config.max_grad_norm)
        step = _Step(self._place.n_steps, self._optimizer.param_groups[0]["lr"])
        self._refuse(self._check.add(step, loss, norm))
        self._optimizer.step()
        self._schedule.step()
        self._ema.step()
        return loss

    def _seed_dropout(self) -> None:
        """Let several processes draw each their own dropout, which the step alone decides."""
        if self.group.is_alone:
            return
        where, place = self._place, self.group.place
        seed = seed_of(seed_of(self._config.seed, where.epoch), where.n_steps)
        torch.manual_seed(seed_of(seed, place.rank))

    def _refuse(self, failure: Failure[_Step] | None) -> None:
        """Raise ``Diverged`` of a step of this epoch that failed."""
        if failure is None:
            return
        (step, lr), epoch = failure.where, self._place.epoch
        what = f"the loss is {failure.loss:g}, its gradient {failure.norm:g}"
        clips = self._batches.clips_of(epoch, step)
        raise Diverged(f"epoch {epoch}, batch {step + 1}: {what}", lr, clips)

    def state(self) -> State:
        """Return everything from which ``restore`` goes on.

        Raises
        ------
        Diverged
            When the loss or gradient of a step was not finite.
        """
        self._refuse(self._check.find())
        place = self._place
        tensors = {"loss": place.total_loss, "random.cpu": torch.get_rng_state()}
        if self._batches.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self._batches.device)
        for index, values in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
        groups = {
            "weights": self._ema.recogniser.state_dict(),
            "ema": self._ema.model.state_dict() if self._config.ema_decay else {},
            "best": self.best_state,
            "generators": place.states,
            **{f"snapshot.{epoch}": state for epoch, state in self.result.snapshots.items()},
        }
        for group, values in groups.items():
            tensors |= {f"{group}.{name}": value for name, value in values.items()}
        numbers = {
            "epoch": place.epoch,
            "n_steps": place.n_steps,
            "n_clips": place.n_clips,
            "duration_s": place.duration_s,
            "threads": torch.get_num_threads(),
            "history": [dataclasses.asdict(epoch) for epoch in self.result.history],
            "best": self.result.best.epoch if self.result.best else None,
        }
        return State(tensors, numbers)

    def restore(self, state: State) -> None:
        """Go on from a state."""
        tensors, numbers = state.tensors, state.numbers

        def group(prefix: str) -> dict[str, Tensor]:
            start = len(prefix) + 1
            return {k[start:]: v for k, v in tensors.items() if k.startswith(f"{prefix}.")}

        n_done = (numbers["epoch"] - 1) * self._batches.n_steps + numbers["n_steps"]
        self._ema.recogniser.load_state_dict(group("weights"))
        self._ema.restore(group("ema"), n_done)
        self.best_state = group("best")
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in group("optimizer").items():
            index, _, kind = name.partition(".")
            moments.setdefault(int(index), {})[kind] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        for parameter, values in self._optimizer.state.items():
            for name in ("exp_avg", "exp_avg_sq"):  # in the order in memory that AdamW expects
                values[name] = torch.empty_like(parameter).copy_(values[name])
        self._schedule.load_state_dict(self._schedule.state_dict() | {"last_epoch": n_done})
        for values in self._optimizer.param_groups:
            values["lr"] = values["initial_lr"] * self._lr_factor(n_done)
        torch.set_num_threads(numbers.get("threads", torch.get_num_threads()))
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and self._batches.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self._batches.device)
        history = [Epoch(**values) for values in numbers["history"]]
        self.result.history = history
        self.result.best = history[numbers["best"] - 1] if numbers["best"] else None
        for epoch in self._config.snapshots:
            if kept := group(f"snapshot.{epoch}"):
                self.result.snapshots[epoch] = kept
        self._place = _Place(
            numbers["epoch"],
            Generators(self._config.seed, numbers["epoch"], group("generators")),
            tensors["loss"].to(self._batches.device),
            numbers["n_steps"],
            numbers["n_clips"],
            numbers["duration_s"],
            group("generators"),
        )


def learning_rate_factor(step: int, n_steps: int, warmup_ratio: float) -> float:
    """Return the fraction of the peak learning rate at ``step`` (from 0) of ``n_steps``."""
    n_warmup = max(1, round(warmup_ratio * n_steps))
    if step < n_warmup:
        return (step + 1) / n_warmup
    return 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / max(1, n_steps - n_warmup)))


def validate(
    recogniser: Recogniser,
    batches: Batches,
    between: Callable[[], None] = lambda: None,
    group: Group = ALONE,
) -> Validation:
    """Return the metrics of a recogniser on the validation clips, those of all processes.

    Parameters
    ----------
    between : called after each batch
    """
    recogniser.eval()
    loss = torch.zeros((), device=batches.device)
    n_labels = len(batches.labels)
    confusion = torch.zeros(n_labels * n_labels, dtype=torch.int64, device=batches.device)
    with torch.no_grad():
        for features, targets in batches.validation():
            if len(targets):  # of several processes one may have nothing of the last batch
                # In float32, as the exported model runs.
                logits = recogniser.logits_of(recogniser.normalise(features))
                loss += nn.functional.cross_entropy(logits, targets, reduction="sum")
                cells = targets * n_labels + logits.argmax(dim=1)
                confusion.index_add_(0, cells, torch.ones_like(cells))
            between()
    for values in (loss, confusion):
        group.add(values)
    counts = confusion.view(n_labels, n_labels).cpu().numpy()  # rows truth, columns prediction
    right, clips = counts.diagonal(), counts.sum(axis=1)
    recalls = np.divide(right, clips, out=np.full(n_labels, np.nan), where=clips > 0)
    return Validation(
        loss=float(loss) / int(clips.sum()),
        balanced_accuracy=mean_recall(recalls),
        command_recall=command_recall(batches.labels, recalls),
        accuracy=int(right.sum()) / int(clips.sum()),
        confused=worst_confusion(batches.labels, counts),
    )
