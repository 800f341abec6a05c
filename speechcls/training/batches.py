"""Training and validation batches of a corpus: drawn, augmented, made into features."""

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from speechcls.audio.samples import PCM_SCALE
from speechcls.augmentation.draws import Generators, Rows, on_device, seed_of
from speechcls.augmentation.noise import babble, coloured_noise, cut_noise, random_gain_noise
from speechcls.augmentation.transforms import (
    AugmentationContext,
    augment,
    is_augmenting,
    make_non_words,
)
from speechcls.config import TrainConfig
from speechcls.data.clips import Buffers, StreamedWindows
from speechcls.data.corpus import Corpus
from speechcls.distributed.group import ALONE, Group
from speechcls.features.mel import FEATURES
from speechcls.labels import SCRAMBLED, SILENCE, UNKNOWN, mean_command_count
from speechcls.parallel import default_jobs

_CLIP, _NON_WORD, _NOISE = range(3)
"""Kinds of training clip: one of the corpus, a non-word made of one, background noise."""
_COLOURED_S = 10
"""Length of each colour of noise beside the recorded background, seconds."""
_FEATURE_BATCH = 32
"""Clips whose spectra fit the processor's cache."""
KEPT_BYTES_MAX = 2**29
"""Features kept from one epoch to the next: 512 MiB, 33,000 clips of one second."""


class _Draw(NamedTuple):
    """Which clips a batch, or an epoch, consists of; both are on the host."""

    clip: Tensor
    """(n,) indices into the corpus; unused for noise."""
    kind: Tensor
    """(n,) ``_CLIP``, ``_NON_WORD`` or ``_NOISE``."""


class _Reading(NamedTuple):
    """What an epoch reads from shards, buffer by buffer."""

    buffers: Buffers
    spoken: Tensor
    """(n_spoken,) the spoken clips, buffer by buffer."""
    ends: list[int]
    """Of each buffer in ``spoken``."""


def _fits(n_bytes: int, device: torch.device) -> bool:
    """Whether so much may stay on the device: half of the free memory is left to the network."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes <= free // 2


class Batches:
    """A corpus in batches of (features, targets) on the device.

    Features (batch, n_frames, n_features) are not normalised. Targets are words in training and
    labels in validation. Clips are kept on the device if it has room for them, else on the host.

    Of several processes each draws every batch, and yields its own rows of it.
    """

    clips_per_row = 1
    """Clips that are concatenated into one row of a batch."""
    babble_voices: tuple[int, ...] = (6, 12, 24)
    babble_s = 20
    """Largest length of babble per number of voices, seconds."""
    babble_ratio = 1 / 16
    """Largest ratio of babble to recorded background, since babble may contain words."""
    targets: Tensor
    """(n_clips,) integers: what ``loss`` gets of a clip, which is its word."""

    def __init__(self, corpus: Corpus, config: TrainConfig, device: torch.device) -> None:
        self.device, self._config = device, config
        self.labels = corpus.labels
        self._sample_rate = corpus.features.sample_rate
        self._windows = corpus.windows
        self._units = torch.from_numpy(corpus.scales / np.float32(PCM_SCALE)).to(device)
        """(n_clips,) amplitude of one step of the windows."""
        self._resident: Tensor | None = None
        """The windows, if they fit on the device."""
        if isinstance(corpus.windows, np.ndarray) and _fits(corpus.windows.nbytes, device):
            self._resident = torch.from_numpy(corpus.windows).to(device)
        self._reading: _Reading | None = None
        self._features = FEATURES[corpus.features.kind](corpus.features).to(device)
        # float32 is wrong far below a clip's mean only, where relative energies are clipped.
        self._precision = torch.float32 if corpus.features.relative else torch.float64
        self._n_values = corpus.features.n_frames * corpus.features.n_features
        self._labels = torch.from_numpy(corpus.label_index).to(device)
        self._words = torch.from_numpy(corpus.word_index).to(device)
        self.targets = self._words
        generator = torch.Generator().manual_seed(config.seed)
        coloured = coloured_noise(_COLOURED_S * self._sample_rate, generator)
        recorded = torch.from_numpy(corpus.noise)
        training = np.flatnonzero(corpus.split == "train")
        self._validation = torch.from_numpy(np.flatnonzero(corpus.split == "validation"))
        names = np.array(corpus.labels)[corpus.label_index[training]]
        n_command = mean_command_count(list(names))
        repeats = corpus.repeats[training]
        training, names = np.repeat(training, repeats), np.repeat(names, repeats)
        self._unknown = torch.from_numpy(training[names == UNKNOWN])
        self._known = torch.from_numpy(training[names != UNKNOWN])
        self._spoken = torch.cat([self._known, self._unknown])
        self._n_unknown = min(len(self._unknown), max(1, round(config.unknown_ratio * n_command)))
        self._n_silence = round(config.silence_ratio * n_command) if len(recorded) else 0
        self._silence = corpus.words.index(SILENCE) if self._n_silence else 0
        noises = recorded, coloured, *self._babble(len(recorded), generator)
        self._noise = torch.cat(noises).to(device)
        is_command = (names != UNKNOWN) & (names != SILENCE)
        self._commands = torch.from_numpy(training[is_command])
        self._n_non_words, self._non_word = 0, 0
        if SCRAMBLED in corpus.words and len(self._commands):
            self._n_non_words = round(config.scramble_ratio * n_command)
            self._non_word = corpus.words.index(SCRAMBLED)
        self._context = AugmentationContext(config, self._noise, self._sample_rate)
        n_clips = len(self._known) + self._n_unknown + self._n_non_words + self._n_silence
        self._n_repeats = math.ceil(config.epoch_clips / n_clips)
        self._n_clips = self._n_repeats * n_clips
        self.n_steps = math.ceil(self._n_clips / config.batch_size)
        self._group = ALONE

    def share(self, group: Group) -> None:
        """Yield this process's rows of each batch from now on; call it before anything else."""
        self._group = group

    def n_rows(self, step: int) -> int:
        """Return the rows of a batch (from 0) of an epoch, those of all processes."""
        return self._rows_of(
            min(self._config.batch_size, self._n_clips - step * self._config.batch_size)
        )

    def _rows_of(self, n_clips: int) -> int:
        """Return how many rows so many clips make."""
        return n_clips

    def _own_clips(self, n_clips: int) -> tuple[int, int]:
        """Return the first clip of a batch that is this process's, and the one after the last."""
        return self._group.part(n_clips)

    def _babble(self, n_recorded: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield babble of the training voices, to go with ``n_recorded`` samples of background."""
        n_samples = min(self.babble_s * self._sample_rate, int(self.babble_ratio * n_recorded))
        n_each = n_samples // self._windows.shape[1]
        for n_voices in self.babble_voices if n_each else ():
            chosen = torch.randint(len(self._spoken), (n_voices * n_each,), generator=generator)
            clips = self._spoken[chosen]
            yield babble(self._amplitudes(clips).cpu(), n_voices)

    def training(
        self, epoch: int, n_done: int = 0, generators: Generators | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, shuffled and augmented.

        Parameters
        ----------
        n_done : batches at its begin that are left out
        generators : of this epoch, with the states that they had after these batches
        """
        if self._cached_features is None:
            for samples, targets in self.training_samples(epoch, n_done, generators):
                yield self._features(samples, self._precision), targets
            return
        generator, draws = self._shuffle(epoch, n_done, generators)
        for draw in draws:
            rows = self._rows(draw, generator)
            clip = on_device(rows.own(draw.clip), self.device)
            features, targets = self._cached_features[clip], self.targets[clip]
            index = (draw.kind != _CLIP).nonzero().squeeze(1)
            if len(index):
                among, made = rows.among(index)
                samples, words = self._make(_Draw(draw.clip[index], draw.kind[index]), among)
                if len(made):  # FFTs reject empty batches
                    made = on_device(made, self.device)
                    features[made], targets[made] = self._features(samples), words
            yield features, targets

    def _rows(self, draw: _Draw, generator: torch.Generator) -> Rows:
        """Return which clips of a batch this process makes."""
        return Rows.between(generator, len(draw.clip), *self._own_clips(len(draw.clip)))

    @property
    def are_made_ahead(self) -> bool:
        """Whether a batch is made in a thread during the step before it.

        On a CPU if that leaves half of the cores. A GPU is told and not waited for, so that a
        thread helps only where clips have to be gathered on the host.
        """
        if self.device.type == "cpu":
            n_threads = self._group.place.local_size * torch.get_num_threads()
            return 2 * n_threads <= default_jobs()
        return self.device.type == "cuda" and self._resident is None

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of a batch of logits (batch, n_outputs).

        Of several processes it is the part that its own rows have in that; all parts sum up to it.
        """
        smoothing = self._config.label_smoothing
        mean = functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        return mean if self._group.is_alone else mean * self._group.ratio(len(targets))

    def training_samples(
        self, epoch: int, n_done: int = 0, generators: Generators | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the augmented samples (batch, n_samples) and targets of one epoch."""
        generator, draws = self._shuffle(epoch, n_done, generators)
        for draw in draws:
            yield self._make(draw, self._rows(draw, generator))

    def clips_of(self, epoch: int, step: int) -> list[int]:
        """Return the clips, as indices into the corpus, of a batch (from 0) of an epoch."""
        draw = self._shuffle(epoch, 0, None)[1][step]
        return [int(clip) for clip in draw.clip[draw.kind != _NOISE]]

    def _shuffle(
        self, epoch: int, n_done: int, generators: Generators | None
    ) -> tuple[torch.Generator, list[_Draw]]:
        """Return the generator of an epoch, and what each batch after ``n_done`` consists of."""
        generators = generators or Generators(self._config.seed, epoch)
        generator = generators.start("clips")
        drawn = [self._draw(generator) for _ in range(self._n_repeats)]
        clip, kind = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        order = torch.randperm(len(clip), generator=generator)
        if isinstance(self._windows, StreamedWindows):
            self._reading = self._plan_reading(self._windows, epoch)
            order = order[self._buffers_of(clip[order], kind[order]).argsort(stable=True)]
        size = self._config.batch_size
        batches = zip(torch.split(clip[order], size), torch.split(kind[order], size), strict=True)
        return generators.resume("clips"), [_Draw(*batch) for batch in batches][n_done:]

    def _plan_reading(self, windows: StreamedWindows, epoch: int) -> _Reading:
        """Return in which order an epoch reads the clips."""
        buffers = windows.shuffle(seed_of(self._config.seed, epoch))
        numbers = torch.from_numpy(buffers.number)[self._spoken]
        counts = torch.bincount(numbers, minlength=buffers.n_buffers)
        by_buffer = self._spoken[numbers.argsort(stable=True)]
        return _Reading(buffers, by_buffer, counts.cumsum(0).tolist())

    def _buffers_of(self, clip: Tensor, kind: Tensor) -> Tensor:
        """Return (n,) the buffer of each clip that is drawn; noise is spread over all of them."""
        assert self._reading is not None
        buffers = self._reading.buffers
        numbers = torch.from_numpy(buffers.number)[clip]
        noise = (kind == _NOISE).nonzero().squeeze(1)
        numbers[noise] = torch.arange(len(noise)) * buffers.n_buffers // max(1, len(noise))
        return numbers

    def _load(self, draw: _Draw) -> Tensor:
        """Return (n,) the clips that go with those of a batch, which are now in memory."""
        if self._reading is None or not isinstance(self._windows, StreamedWindows):
            return self._spoken
        buffers, spoken, ends = self._reading
        if not len(clips := draw.clip[draw.kind != _NOISE]):
            return self._spoken
        numbers = buffers.number[clips.numpy()]
        first, last = int(numbers.min()), int(numbers.max())
        self._windows.load(buffers, first, last)
        own = spoken[ends[last - 1] if last else 0 : ends[last]]
        return own if len(own) else self._spoken

    def _draw(self, generator: torch.Generator) -> _Draw:
        """Return the clips of one pass over the corpus."""
        unknown = torch.randperm(len(self._unknown), generator=generator)[: self._n_unknown]
        n_commands = max(1, len(self._commands))
        chosen = torch.randint(n_commands, (self._n_non_words,), generator=generator)
        clips = {
            _CLIP: torch.cat([self._known, self._unknown[unknown]]),
            _NON_WORD: self._commands[chosen],
            _NOISE: torch.zeros(self._n_silence, dtype=torch.int64),
        }
        kinds = [torch.full_like(clip, kind) for kind, clip in clips.items()]
        return _Draw(torch.cat(list(clips.values())), torch.cat(kinds))

    def _make(self, draw: _Draw, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return augmented samples (n_own, n_samples) and targets (n_own,) of the own rows.

        Parameters
        ----------
        draw : of all rows
        """
        own, spoken = rows.own(draw.clip), self._load(draw)
        clips = on_device(own, self.device)
        samples, targets = self._amplitudes(own), self.targets[clips]
        if len(index := (draw.kind == _NON_WORD).nonzero().squeeze(1)):
            among, non_words = rows.among(index)
            others = spoken[among.randint(0, len(spoken))]
            non_words = on_device(non_words, self.device)
            samples[non_words] = make_non_words(
                samples[non_words],
                self._words[clips[non_words]],
                self._amplitudes(others),
                self._words[on_device(others, self.device)],
                among,
            )
            targets.index_fill_(0, non_words, self._non_word)  # unlike [], it waits for nothing
        samples = augment(samples, self._context, rows)
        if len(index := (draw.kind == _NOISE).nonzero().squeeze(1)):
            among, noise = rows.among(index)
            cuts = cut_noise(self._noise, among.n, samples.shape[1], among)
            noise = on_device(noise, self.device)
            samples[noise] = random_gain_noise(cuts, among)
            targets.index_fill_(0, noise, self._silence)
        return samples, targets

    def _may_keep(self, n_clips: int) -> bool:
        """Whether the features of so many clips may be kept in memory."""
        n_bytes = 4 * n_clips * self._n_values
        return n_bytes <= KEPT_BYTES_MAX and _fits(n_bytes, self.device)

    @functools.cached_property
    def _cached_features(self) -> Tensor | None:
        """Features (n_clips, n_frames, n_features) of the training clips if none is augmented."""
        if is_augmenting(self._config) or not self._may_keep(len(self._windows)):
            return None
        kept = None
        for chunk in torch.split(self._spoken, _FEATURE_BATCH):
            features = self._features(self._amplitudes(chunk))
            if kept is None:
                kept = features.new_zeros(len(self._windows), *features.shape[1:])
            kept[on_device(chunk, self.device)] = features
        return kept

    def training_features(self) -> Iterator[Tensor]:
        """Yield the features of this process's training clips once, without augmentation."""
        place = self._group.place
        for chunk in torch.split(self._spoken, _FEATURE_BATCH)[place.rank :: place.size]:
            if self._cached_features is None:
                yield self._features(self._amplitudes(chunk))
            else:
                yield self._cached_features[on_device(chunk, self.device)]

    def validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the validation clips, whose features are kept after the first epoch if they fit.

        Each of several processes yields as many batches, some of which may be empty.
        """
        if self._may_keep(len(self._validation)):
            yield from self._kept_validation
        else:
            yield from self._validate()

    @functools.cached_property
    def _kept_validation(self) -> list[tuple[Tensor, Tensor]]:
        return list(self._validate())

    def _validate(self) -> Iterator[tuple[Tensor, Tensor]]:
        place, size = self._group.place, self._config.batch_size
        for chunk in torch.split(self._validation, place.size * size):
            own = chunk[size * place.rank : size * (place.rank + 1)]
            some = own if len(own) else chunk[:1]  # FFTs reject empty batches
            features = self._features(self._amplitudes(some))[: len(own)]
            yield features, self._labels[on_device(own, self.device)]

    def _amplitudes(self, clip: Tensor) -> Tensor:
        """Return samples (batch, n_samples) of ``clip`` (batch,), which is on the host."""
        index = on_device(clip, self.device)
        if self._resident is not None:
            windows = self._resident[index]
        else:
            windows = on_device(torch.from_numpy(self._windows[clip.numpy()]), self.device)
        return windows * self._units[index][:, None]
