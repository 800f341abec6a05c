"""The clips of a corpus, dealt out in batches: drawn, changed, made into features."""

import functools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from speechcls.config import TrainConfig
from speechcls.data.corpus import Corpus, mean_command_count
from speechcls.features.mel import FEATURES
from speechcls.labels import SCRAMBLED, SILENCE, UNKNOWN
from speechcls.training.augment import (
    add_noise,
    babble,
    change_gain,
    change_speed,
    coloured_noise,
    cut_noise,
    equalise,
    make_non_words,
    random_gain_noise,
    reverberate,
    shift,
)

_CLIP, _SCRAMBLED, _NOISE = range(3)  # a clip as it is, one scrambled, fresh background noise
_KINDS = 3
_COLOURED_S = 10  # of each pure colour of noise, beside what was recorded
_BABBLE_S = 20  # of each number of voices
_VOICES = (6, 12, 24)
_RECORDED_SHARE = 16  # each stays below this part of what was recorded: it may hold words after all
_FEATURE_BATCH = 32  # clips whose spectra fit the processor's cache
_MOST_KEPT = 2**29
"""Bytes of features that are kept from one epoch to the next: 512 MB, 33,000 clips of a second."""


def seed_of(seed: int, epoch: int) -> int:
    """Return the seed of what one epoch draws."""
    return (seed * 1_000_003 + epoch) % 2**63


def _fits(n_bytes: int, device: torch.device) -> bool:
    """Whether so much may be kept on the device: half of what is free is left to the network."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes <= free // 2


class Batches:
    """A corpus, dealt out on the device in batches of (features, targets).

    Features (batch, n_frames, n_features) are not standardised. Targets are words in training and
    labels in validation. Clips lie on the device if it has room for them, else on the host.
    """

    clips_per_row = 1
    """Clips that one row of a batch is made of."""

    def __init__(self, corpus: Corpus, config: TrainConfig, device: torch.device) -> None:
        self.device, self._config = device, config
        self._sample_rate = corpus.features.sample_rate
        self._windows = torch.from_numpy(corpus.windows)
        self._is_resident = _fits(corpus.windows.nbytes, device)
        if self._is_resident:
            self._windows = self._windows.to(device)
        self._features = FEATURES[corpus.features.kind](corpus.features).to(device)
        # Energies far below a clip's mean, which float32 gets wrong, are cut off in relative ones.
        self._precision = torch.float32 if corpus.features.relative else torch.float64
        self._n_values = corpus.features.n_frames * corpus.features.n_features
        self._labels = torch.from_numpy(corpus.label_index).to(device)
        self._words = torch.from_numpy(corpus.word_index).to(device)
        generator = torch.Generator().manual_seed(config.seed)
        coloured = coloured_noise(_COLOURED_S * self._sample_rate, generator)
        recorded = torch.from_numpy(corpus.noise).float() / 32_768.0
        training = np.flatnonzero(corpus.split == "train")
        self._validation = torch.from_numpy(np.flatnonzero(corpus.split == "validation"))
        names = np.array(corpus.labels)[corpus.label_index[training]]
        n_command = mean_command_count(list(names))
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
        self._n_scrambled, self._scrambled = 0, 0
        if SCRAMBLED in corpus.words and len(self._commands):
            self._n_scrambled = round(config.scramble_ratio * n_command)
            self._scrambled = corpus.words.index(SCRAMBLED)
        n_clips = len(self._known) + self._n_unknown + self._n_scrambled + self._n_silence
        self._n_repeats = math.ceil(config.epoch_clips / n_clips)
        self.n_steps = math.ceil(self._n_repeats * n_clips / config.batch_size)

    def _babble(self, n_recorded: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the voices of those who train, many at once, beside ``n_recorded`` samples."""
        n_most = min(_BABBLE_S * self._sample_rate, n_recorded // _RECORDED_SHARE)
        n_each = n_most // self._windows.shape[1]
        for n_voices in _VOICES if n_each else ():
            chosen = torch.randint(len(self._spoken), (n_voices * n_each,), generator=generator)
            clips = self._windows[self._spoken[chosen].to(self._windows.device)]
            yield babble(_amplitudes(clips).cpu(), n_voices)

    def training(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, augmented, in an order of its own."""
        if self._kept is None:
            for samples, targets in self.training_samples(epoch):
                yield self._features(samples, self._precision), targets
            return
        generator, chunks = self._order(epoch)
        for chunk in chunks:
            clip, kind = chunk // _KINDS, chunk % _KINDS
            places = clip.to(self.device)
            features, targets = self._kept[places], self._words[places]
            if len(made := (kind != _CLIP).nonzero().squeeze(1)):
                windows = self._read(clip[made])
                samples, words = self._make(windows, clip[made], kind[made], generator)
                made = made.to(self.device)
                features[made], targets[made] = self._features(samples), words
            yield features, targets

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of a batch of logits (batch, n_outputs)."""
        smoothing = self._config.label_smoothing
        return functional.cross_entropy(logits, targets, label_smoothing=smoothing)

    def training_samples(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the samples (batch, n_samples) that ``training`` makes features of, and targets."""
        generator, chunks = self._order(epoch)
        for chunk, windows in zip(chunks, self._read_ahead(chunks), strict=True):
            yield self._make(windows, chunk // _KINDS, chunk % _KINDS, generator)

    def _order(self, epoch: int) -> tuple[torch.Generator, Sequence[Tensor]]:
        """Return the generator of an epoch, and what its batches consist of as ``_draw``."""
        generator = torch.Generator().manual_seed(seed_of(self._config.seed, epoch))
        index = torch.cat([self._draw(generator) for _ in range(self._n_repeats)])
        index = index[torch.randperm(len(index), generator=generator)]
        return generator, torch.split(index, self._config.batch_size)

    def _make(
        self, windows: Tensor, clip: Tensor, kind: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return samples and targets of clips; ``clip`` and ``kind`` (batch,) are on the host."""
        samples, targets = _amplitudes(windows), self._words[clip.to(self.device)]
        if len(scrambled := (kind == _SCRAMBLED).nonzero().squeeze(1)):
            partners = torch.randint(len(self._spoken), (len(scrambled),), generator=generator)
            others = self._spoken[partners]
            scrambled = scrambled.to(self.device)
            samples[scrambled] = make_non_words(
                samples[scrambled],
                targets[scrambled],
                _amplitudes(self._read(others)),
                self._words[others.to(self.device)],
                generator,
            )
            targets[scrambled] = self._scrambled
        samples = self._augment(samples, generator)
        if len(noise := (kind == _NOISE).nonzero().squeeze(1)):
            cuts = cut_noise(self._noise, len(noise), samples.shape[1], generator)
            noise = noise.to(self.device)
            samples[noise] = random_gain_noise(cuts, generator)
            targets[noise] = self._silence
        return samples, targets

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
        if not self._changes_clips:
            return samples
        if config.speed_max:
            samples = change_speed(samples, config.speed_max, generator)
        samples = shift(samples, round(config.shift_max * samples.shape[1]), generator)
        if config.equaliser_prob:
            samples = equalise(samples, config.equaliser_prob, config.equaliser_db, generator)
        if config.reverb_prob:
            samples = reverberate(samples, config.reverb_prob, self._sample_rate, generator)
        if config.noise_prob:
            snr_db = config.snr_low_db, config.snr_high_db
            samples = add_noise(samples, self._noise, config.noise_prob, snr_db, generator)
        return change_gain(samples, config.gain_db, generator)

    @functools.cached_property
    def _changes_clips(self) -> bool:
        """Whether a clip is another one in each epoch."""
        config = self._config
        shares = config.equaliser_prob, config.reverb_prob, config.noise_prob
        return any((config.speed_max, config.shift_max, *shares, config.gain_db))

    def _may_keep(self, n_clips: int) -> bool:
        """Whether the features of so many clips may be kept."""
        n_bytes = 4 * n_clips * self._n_values
        return n_bytes <= _MOST_KEPT and _fits(n_bytes, self.device)

    @functools.cached_property
    def _kept(self) -> Tensor | None:
        """Features (n_clips, n_frames, n_features) of the training clips where nothing changes."""
        if self._changes_clips or not self._may_keep(len(self._windows)):
            return None
        kept = None
        for chunk in torch.split(self._spoken, _FEATURE_BATCH):
            features = self._features(_amplitudes(self._read(chunk)))
            if kept is None:
                kept = features.new_zeros(len(self._windows), *features.shape[1:])
            kept[chunk.to(self.device)] = features
        return kept

    def training_features(self) -> Iterator[Tensor]:
        """Yield the features of every training clip once, unchanged."""
        for chunk in torch.split(self._spoken, _FEATURE_BATCH):
            if self._kept is None:
                yield self._features(_amplitudes(self._read(chunk)))
            else:
                yield self._kept[chunk.to(self.device)]

    def validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the validation clips, computed in the first epoch and then kept if they fit."""
        if self._may_keep(len(self._validation)):
            yield from self._kept_validation
        else:
            yield from self._validate()

    @functools.cached_property
    def _kept_validation(self) -> list[tuple[Tensor, Tensor]]:
        return list(self._validate())

    def _validate(self) -> Iterator[tuple[Tensor, Tensor]]:
        for chunk in torch.split(self._validation, self._config.batch_size):
            features = self._features(_amplitudes(self._read(chunk)))
            yield features, self._labels[chunk.to(self.device)]

    def _read(self, clip: Tensor) -> Tensor:
        """Return the int16 windows (batch, n_samples) of ``clip`` (batch,) on the device."""
        if self._is_resident:
            return self._windows[clip.to(self.device)]
        windows = self._windows[clip]
        if self.device.type == "cuda":
            windows = windows.pin_memory()  # which the copy need not wait for
        return windows.to(self.device, non_blocking=True)

    def _read_ahead(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the windows of each chunk; from the host the next ones are read meanwhile."""
        if self._is_resident:
            yield from (self._read(chunk // _KINDS) for chunk in chunks)
            return
        with ThreadPoolExecutor(1) as reader:
            coming = [reader.submit(self._read, chunk // _KINDS) for chunk in chunks[:1]]
            for following in [*chunks[1:], None]:
                windows = coming.pop().result()
                if following is not None:
                    coming.append(reader.submit(self._read, following // _KINDS))
                yield windows


def _amplitudes(windows: Tensor) -> Tensor:
    """Return int16 ``windows`` (batch, n_samples) as float32 in [-1, 1]."""
    return windows * (1 / 32_768)
