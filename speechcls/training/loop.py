"""The training loop."""

import copy
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from speechcls.config import TrainConfig
from speechcls.data.corpus import Corpus
from speechcls.distributed.batch_norm import synchronised
from speechcls.distributed.group import ALONE, Group
from speechcls.distributed.place import Place
from speechcls.errors import ConfigError, reason_of
from speechcls.interrupts import DeferredSignals
from speechcls.networks.recogniser import Recogniser, forward_mixed_precision
from speechcls.training.batches import Batches
from speechcls.training.checkpoint import Checkpoint, State
from speechcls.training.gradient import Diverged
from speechcls.training.optimisation import Epoch, FitResult, Training
from speechcls.training.stream_batches import StreamBatches

_SMALLER = "choose smaller batches, a smaller network or the cpu"
_N_TRIALS = 2
"""Steps by which a number of threads is timed, after one to warm up."""
_SHORT = 200
"""Steps of a training that is too short to try numbers of threads."""
_FASTER = 0.85
"""Fewer threads are taken if a step then takes less than this fraction of its time: they are not
where both are alike, so that the same training again has the same threads, and so weights."""


def choose_device(name: str, place: Place = ALONE.place) -> torch.device:
    """Return the device called ``name``; ``auto`` is CUDA, else Apple's MPS, else the CPU.

    Parameters
    ----------
    place : which of several processes it is for, each of which has a GPU of its own

    Raises
    ------
    ConfigError
        When this machine has no such device, naming those that it has, or too few of them.
    """
    available = ["cpu"]
    if torch.backends.mps.is_available() and place.size == 1:  # which no backend connects
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    name = available[0] if name == "auto" else name
    if name not in available:
        raise ConfigError(
            f"{name} is not on this machine; there is {', '.join(available)}", field="device"
        )
    if name != "cuda" or place.size == 1:
        return torch.device(name)
    if place.local_size > (n_gpus := torch.cuda.device_count()):
        raise ConfigError(
            f"{place.local_size} processes have {n_gpus} GPUs here; start one for each GPU",
            field="device",
        )
    torch.cuda.set_device(place.local_rank)
    return torch.device(name, place.local_rank)


def set_feature_statistics(recogniser: Recogniser, batches: Batches, group: Group = ALONE) -> None:
    """Set mean and standard deviation of each feature to those of the training clips.

    Parameters
    ----------
    group : the processes, of which each goes through its part of the clips
    """
    total = torch.zeros(recogniser.feature_mean.shape, dtype=torch.float64)
    squares, n_frames = torch.zeros_like(total), torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for features in batches.training_features():
            features = features.flatten(0, 1).cpu().double()
            total += features.sum(dim=0)
            squares += features.square().sum(dim=0)
            n_frames += len(features)
    for values in (total, squares, n_frames):
        group.add(values)
    mean = total / n_frames
    variance = (squares / n_frames - mean.square()).clamp(min=0.0)
    recogniser.feature_mean.copy_(mean)
    # A constant feature, as in digital silence, must not be divided by zero.
    recogniser.feature_std.copy_(variance.sqrt().clamp(min=1e-3))


def batches_for(
    recogniser: Recogniser, corpus: Corpus, config: TrainConfig, device: torch.device
) -> Batches:
    """Return the corpus in batches of clips, or of concatenated clips for a streaming network."""
    network = recogniser.network
    if network.is_streaming:
        return StreamBatches(corpus, config, device, network.frames_per_step)
    return Batches(corpus, config, device)


def choose_threads(recogniser: Recogniser, batches: Batches, n_steps: int) -> None:
    """Set the number of threads with which a step is fastest on this machine as it is now.

    Small networks have nothing to do for many threads, and where other programs are at work each
    thread waits for the one that has no core. It is left as it is in short trainings and where
    ``OMP_NUM_THREADS`` says it.
    """
    n_threads = torch.get_num_threads()
    has_choice = n_threads > 1 and "OMP_NUM_THREADS" not in os.environ
    if batches.device.type != "cpu" or not has_choice or n_steps <= _SHORT:
        return
    trial, best, best_s = copy.deepcopy(recogniser).train(), n_threads, 0.0
    try:
        while n_threads >= 1:
            torch.set_num_threads(n_threads)
            step_s = time_step(trial, batches)
            if not best_s or step_s < _FASTER * best_s:
                best, best_s = n_threads, step_s
            n_threads //= 2
    finally:
        torch.set_num_threads(best)


def time_step(trial: Recogniser, batches: Batches) -> float:
    """Return how long a step takes without that of the optimiser, seconds."""
    made_s, step_s, prepared = [], [], batches.training(1)
    with torch.random.fork_rng(devices=[]):
        for _ in range(1 + min(_N_TRIALS, batches.n_steps - 1)):
            begun = time.perf_counter()
            features, targets = next(prepared)
            made = time.perf_counter()
            logits = forward_mixed_precision(trial, trial.normalise(features))
            batches.loss(logits, targets).backward()  # type: ignore[no-untyped-call]
            made_s.append(made - begun)
            step_s.append(time.perf_counter() - made)
    times = min(made_s), min(step_s)
    return max(times) if batches.are_made_ahead else sum(times)


@contextmanager
def _own_globals(device: torch.device) -> Iterator[None]:
    """Give back the random state and the number of threads that there were before."""
    n_threads, devices = torch.get_num_threads(), [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        torch.set_num_threads(n_threads)


def fit(
    recogniser: Recogniser,
    corpus: Corpus,
    config: TrainConfig,
    device: torch.device,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_step: Callable[[float], None] = lambda done: None,
    freeze_feature_stats: bool = False,
    checkpoint: Checkpoint | None = None,
    on_warning: Callable[[str], None] = lambda text: None,
    make_batches: Callable[[Recogniser, Corpus, TrainConfig, torch.device], Batches] = batches_for,
    group: Group = ALONE,
) -> FitResult:
    """Train ``recogniser``; afterwards it is on the CPU with the weights of the best epoch.

    The best epoch has the highest balanced accuracy on the validation clips and, among equals, the
    lowest loss. Ctrl-C ends the training early, and so does a loss that is not finite. Other
    signals that end the process take their course when the state is saved.

    Parameters
    ----------
    on_epoch : called after each epoch
    on_step : called after each step with the fraction of the epoch that is done
    freeze_feature_stats : keep mean and deviation of the features, as a trained backbone needs
    checkpoint : where the state is kept; its state is gone on from
    on_warning : called with what the user should know
    make_batches : returns the batches, which have the loss
    group : the processes that share each batch; the main one alone saves the state

    Raises
    ------
    MemoryError
        When the device has too little memory for a batch even in parts.
    TrainingError
        When another process is gone.

    Source
    ------
    AdamW: Loshchilov & Hutter 2019; cosine: Loshchilov & Hutter 2017; warm-up: Goyal et al. 2017;
    clipping: Pascanu et al. 2013; label smoothing: Szegedy et al. 2016; EMA of the weights:
    Polyak & Juditsky 1992, Tarvainen & Valpola 2017.
    """
    batches = make_batches(recogniser, corpus, config, device)
    batches.share(group)
    recogniser.to(device)
    state = checkpoint.state if checkpoint else None
    if not freeze_feature_stats and state is None:
        set_feature_statistics(recogniser, batches, group)
    with _own_globals(device), DeferredSignals() as signals, synchronised(recogniser, group):
        training = _start(recogniser, batches, config, group, state)
        try:
            _run(training, _Pauses(training, signals, checkpoint, on_step, on_warning), on_epoch)
        except Diverged as error:
            training.result.diverged = error.describe([row.path for row in corpus.rows])
        except torch.OutOfMemoryError:
            raise MemoryError(f"{device}: out of memory; {_SMALLER}") from None
        recogniser.load_state_dict(training.best_state)
    recogniser.to("cpu").eval()
    return training.result


def _start(
    recogniser: Recogniser,
    batches: Batches,
    config: TrainConfig,
    group: Group,
    state: State | None,
) -> Training:
    """Return a training that goes on from a state, or begins anew."""
    group.copy_main(list(recogniser.state_dict().values()))  # machines may differ in last bits
    training = Training(recogniser, batches, config, group)
    torch.manual_seed(config.seed)  # dropout draws from the global generator
    if state is not None:
        training.restore(state)
    elif group.is_alone:  # torchrun says how many threads several have
        choose_threads(recogniser, batches, config.epochs * batches.n_steps)
    return training


def _run(training: Training, pauses: "_Pauses", on_epoch: Callable[[Epoch], None]) -> None:
    """Train to the end, or until Ctrl-C."""
    try:
        while not training.is_done():
            epoch = training.run_epoch(pauses.after_step, pauses.check_signals, pauses.on_warning)
            pauses.save(at_end_of_epoch=True)
            on_epoch(epoch)
            pauses.check_signals()
    except KeyboardInterrupt:
        if pauses.signals.received is not None:  # the second one
            raise
        training.result.interrupted = True
    except _Stopped:
        training.result.interrupted = True
    finally:
        training.gradient.close()


class _Stopped(Exception):
    """A signal asked for the end of the training."""


@dataclass
class _Pauses:
    """What happens between two steps: the state is saved, and signals are answered."""

    training: Training
    signals: DeferredSignals
    checkpoint: Checkpoint | None
    on_step: Callable[[float], None]
    on_warning: Callable[[str], None]

    def after_step(self, done: float) -> None:
        """Do what is due after a step that leaves the fraction ``done`` of the epoch done."""
        self.on_step(done)
        self.save(at_end_of_epoch=False)
        self.check_signals()

    def check_signals(self) -> None:
        """Save the state and end the training, or the process, if a signal asked for that.

        A signal to one of several processes is one to all, so that none waits for another.
        """
        received = self.training.group.largest(self.signals.received or 0)
        if not received:  # one that came since then is for the next time
            return
        self.signals.share(received)
        # Who stops a training before its first epoch wants another one.
        is_wanted = received != signal.SIGINT or self.training.result.best is not None
        if self.checkpoint and (is_wanted or self.checkpoint.exists()):
            self.save()
        if received != signal.SIGINT:
            self.signals.release()
        raise _Stopped

    def save(self, at_end_of_epoch: bool | None = None) -> None:
        """Save the state if that is due, or in any case; a failure is told, and the last one stays.

        Parameters
        ----------
        at_end_of_epoch : whether it is the end of one; None: save it in any case
        """
        checkpoint = self.checkpoint if self.training.group.is_main else None
        if checkpoint is None or not self.training.has_begun():
            return
        if at_end_of_epoch is not None and not checkpoint.is_due(at_end_of_epoch):
            return
        try:
            checkpoint.save(self.training.state())
        except OSError as error:
            self.on_warning(f"the state of the training is not saved ({reason_of(error)})")
