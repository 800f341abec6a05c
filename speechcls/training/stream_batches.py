"""Training batches for streaming networks: concatenated clips with a target per step."""

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from speechcls.audio.speech import find_speech
from speechcls.augmentation.draws import Draws, Generators, Rows
from speechcls.augmentation.transforms import add_noise
from speechcls.config import TrainConfig
from speechcls.data.corpus import Corpus
from speechcls.training.batches import Batches

CLIPS_PER_ROW = 4
"""Clips that are concatenated into one row."""
TARGET_HOLD_S = 0.32
"""How long after a word's end its label is the target, seconds."""
IGNORE_INDEX = -100
"""Target of a step that does not count in the loss."""
_GAP_RATIO = 0.25
"""Longest pause between two clips, as a fraction of a clip."""
_FADE_S = 0.03


class StreamBatches(Batches):
    """A corpus in batches of rows, each of several clips concatenated over one background.

    Features are (n_rows, n_frames, n_features); targets (n_rows, n_steps) are a word just after its
    end, ``_silence_`` elsewhere, and ``IGNORE_INDEX`` in between.
    """

    def __init__(
        self, corpus: Corpus, config: TrainConfig, device: torch.device, frames_per_step: int
    ) -> None:
        # Noise is added to whole rows: a background per clip would reveal where the clips are.
        super().__init__(corpus, dataclasses.replace(config, noise_prob=0.0), device)
        self._noise_prob = config.noise_prob
        self._hop_length = corpus.features.hop_length
        self._frames_per_step = frames_per_step

    clips_per_row = CLIPS_PER_ROW

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of the word steps plus that of the silence steps.

        Of several processes it is the part that its own rows have in that.

        Parameters
        ----------
        logits : (n_rows, n_steps, n_outputs)
        targets : (n_rows, n_steps)
        """
        smoothing = self._config.label_smoothing
        losses = functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=smoothing
        )  # 0 where the target is IGNORE_INDEX
        is_silence = (targets == self._silence).flatten()
        is_word = ~is_silence & (targets != IGNORE_INDEX).flatten()
        counts = self._group.add(torch.stack([is_word.sum(), is_silence.sum()])).clamp(min=1)
        words, silence = (losses * is_word).sum(), (losses * is_silence).sum()
        return words / counts[0] + silence / counts[1]

    def _rows_of(self, n_clips: int) -> int:
        """Return how many rows so many clips make; those that do not fill one are left out."""
        return n_clips // min(CLIPS_PER_ROW, n_clips)

    def _own_clips(self, n_clips: int) -> tuple[int, int]:
        """Return the clips of this process's rows."""
        first, last = self._group.part(self._rows_of(n_clips))
        per_row = min(CLIPS_PER_ROW, n_clips)
        return first * per_row, last * per_row

    def training(
        self, epoch: int, n_done: int = 0, generators: Generators | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the rows of one epoch, shuffled and augmented."""
        generators = generators or Generators(self._config.seed, epoch)
        generators.start("rows")
        generator = generators.resume("rows")
        step = self._hop_length * self._frames_per_step
        made = self.training_samples(epoch, n_done, generators)
        for number, (samples, targets) in enumerate(made, start=n_done):
            n_rows = self.n_rows(number)
            first, last = self._group.part(n_rows)
            per_row = len(samples) // (last - first)
            whole = n_rows * per_row, first * per_row, last * per_row
            clips = Rows.between(generator, *whole)
            sound, step_targets = concatenate_clips(
                samples, targets, self._silence, step, self._sample_rate, clips
            )
            if self._noise_prob:
                snr_db = self._config.snr_low_db, self._config.snr_high_db
                rows = Rows.between(generator, n_rows, first, last)
                sound = add_noise(sound, self._noise, self._noise_prob, snr_db, rows)
            features = self._features(sound, self._precision)
            yield features[:, : step_targets.shape[1] * self._frames_per_step], step_targets


def concatenate_clips(
    samples: Tensor,
    targets: Tensor,
    silence: int,
    step: int,
    sample_rate: int,
    generator: Draws,
) -> tuple[Tensor, Tensor]:
    """Return clips concatenated with random pauses, and the target of each step.

    Parameters
    ----------
    samples : (batch, n_samples); clips that do not fill a row are left out
    targets : (batch,) words
    silence : the word that stands for silence
    step : samples per step

    Returns
    -------
    (n_rows, n_row_samples), and (n_rows, n_steps) for the steps that end in them
    """
    per_row = min(CLIPS_PER_ROW, len(samples))
    n_rows, n_samples = len(samples) // per_row, samples.shape[1]
    samples = samples[: n_rows * per_row]
    found = find_speech(samples.cpu().numpy(), sample_rate)
    first, last = (torch.from_numpy(index).to(samples.device) for index in found)  # (n_clips,)
    gap = round(_GAP_RATIO * n_samples)
    slot = n_samples + gap
    offsets = Rows.of(generator, len(samples)).randint(0, gap + 1).to(samples.device)
    positions = torch.arange(slot, device=samples.device) - offsets[:, None]
    is_clip = (positions >= 0) & (positions < n_samples)
    fade = round(_FADE_S * sample_rate)
    edge = torch.minimum(positions + 1, n_samples - positions).clamp(0, fade) / fade
    placed = samples.gather(1, positions.clamp(0, n_samples - 1)) * (is_clip * edge)
    rows = placed.reshape(n_rows, per_row * slot)

    n_steps = rows.shape[1] // step
    ends = step * (1 + torch.arange(n_steps, device=samples.device))
    starts = slot * torch.arange(per_row, device=samples.device) + offsets.reshape(n_rows, per_row)
    begun = (starts + first.reshape(n_rows, per_row)).unsqueeze(2)  # (n_rows, per_row, 1)
    ended = (starts + last.reshape(n_rows, per_row)).unsqueeze(2)
    hold = round(TARGET_HOLD_S * sample_rate)
    words = targets[: n_rows * per_row].reshape(n_rows, per_row)
    step_targets = torch.full((n_rows, n_steps), silence, device=samples.device)
    for i in range(per_row):  # the targets of a word end where the next one begins
        is_word = (words[:, i] != silence)[:, None]
        middle = (begun[:, i] + ended[:, i]) // 2
        for low, high, target in (
            (begun[:, i], middle, torch.full_like(words[:, i], silence)),
            (middle, ended[:, i], torch.full_like(words[:, i], IGNORE_INDEX)),
            (ended[:, i], ended[:, i] + hold, words[:, i]),
            (
                ended[:, i] + hold,
                ended[:, i] + 2 * hold,
                torch.full_like(words[:, i], IGNORE_INDEX),
            ),
        ):
            is_here = (ends >= low) & (ends < high) & is_word
            step_targets = torch.where(is_here, target[:, None], step_targets)
    return rows, step_targets
