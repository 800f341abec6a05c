"""Every setting with its default and unit: frozen dataclasses that turn into JSON and back."""

import math
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from speechcls.errors import ConfigError
from speechcls.fields import Config

MODELS = Path("models")
"""Folder of trained models, relative to the working directory."""
DEFAULT_MODEL, LIVE_MODEL = "commands", "commands-stream"
"""Of the models that come with speechcls that for recordings, and the causal one for live sound."""
BUNDLED = (DEFAULT_MODEL, LIVE_MODEL, "commands-tiny")
"""Names of all models that come with speechcls."""


@dataclass(frozen=True)
class FeatureKind:
    """What there is to know of a kind of features without computing it."""

    title: str
    value_name: str
    """What each of the values in a frame is."""
    unit: str
    """Unit of the values; empty for none."""
    size_field: str
    """Field of ``FeatureConfig`` with the number of values in a frame."""
    has_bands: bool
    """Whether they are bands of frequency in order, which training may mask."""
    is_signed: bool
    """Whether they lie around zero, and are drawn so, the first one apart."""


FEATURE_KINDS = {
    "mfcc": FeatureKind(
        *("mel-frequency cepstral coefficients (MFCC)", "coefficient", "", "n_mfcc"),
        has_bands=False,
        is_signed=True,
    ),
    "log-mel": FeatureKind(
        "log-mel energies", "mel band", "dB", "n_mels", has_bands=True, is_signed=False
    ),
}
"""Kinds of features by name; ``speechcls.features.mel.FEATURES`` computes them."""
READOUTS = ("last", "mean", "attention", "stream")
SIZES = {"tiny": 30_000, "small": 100_000, "base": 400_000}
"""Upper limit of a network's parameters, by size."""


@dataclass(frozen=True)
class FeatureConfig(Config):
    """How samples become features."""

    ADDED = MappingProxyType({"running_s": 0.0})

    kind: str = "mfcc"
    """``mfcc`` (mel-frequency cepstral coefficients) or ``log-mel`` (mel energies in dB)."""
    sample_rate: int = 16_000
    """Sample rate, Hz, that recordings are resampled to."""
    duration_s: float = 1.0
    """Length of the input window, seconds."""
    n_fft: int = 512
    """Length of the Fourier transform, samples."""
    win_length: int = 480
    """Length of the Hann window, samples (30 ms at 16 kHz)."""
    hop_length: int = 160
    """Hop from one frame to the next, samples (10 ms at 16 kHz)."""
    n_mels: int = 40
    """Number of mel bands."""
    n_mfcc: int = 40
    """Number of cepstral coefficients; not used by ``log-mel``."""
    fmin: float = 20.0
    """Lower edge of the mel bands, Hz."""
    fmax: float = 7_600.0
    """Upper edge of the mel bands, Hz."""
    relative: bool = True
    """Whether the clip's mean log energy is subtracted, so that its level does not matter."""
    running_s: float = 0.0
    """Time constant, seconds, of a running mean in place of the clip's; 0: the clip's mean."""
    range_db: float = 70.0
    """Dynamic range below that mean, dB; not used by absolute energies."""
    power_floor: float = 1e-10
    """Mel power that the logarithm is floored at."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        kinds = f"one of {', '.join(FEATURE_KINDS)}"
        self._require("kind", self.kind in FEATURE_KINDS, kinds)
        self._require_positive("sample_rate", "duration_s", "n_fft", "win_length", "hop_length")
        self._require_positive("n_mels", "n_mfcc", "range_db", "power_floor")
        self._require("win_length", self.win_length <= self.n_fft, f"at most n_fft ({self.n_fft})")
        if FEATURE_KINDS[self.kind].size_field == "n_mfcc":
            self._require("n_mfcc", self.n_mfcc <= self.n_mels, f"at most n_mels ({self.n_mels})")
        nyquist = self.sample_rate / 2
        below = f"at most half the sample rate ({nyquist:g} Hz)"
        self._require("fmax", self.fmax <= nyquist, below)
        self._require("fmin", 0 <= self.fmin < self.fmax, f"in 0 .. fmax ({self.fmax:g} Hz)")
        running = math.isfinite(self.running_s) and self.running_s >= 0
        self._require("running_s", running, "zero or more seconds")
        self._require("duration_s", self.duration_s <= 3_600, "at most an hour (3600 s)")
        self._require("duration_s", self.n_samples >= self.hop_length, "longer than one hop")

    @property
    def n_samples(self) -> int:
        """Samples in the model's window."""
        return round(self.duration_s * self.sample_rate)

    @property
    def n_frames(self) -> int:
        """Frames in the model's window."""
        return self.n_samples // self.hop_length + (0 if self.running_s else 1)

    @property
    def n_features(self) -> int:
        """Values in a frame."""
        return int(getattr(self, FEATURE_KINDS[self.kind].size_field))


@dataclass(frozen=True)
class NetworkConfig(Config):
    """Which network of the zoo, and how large."""

    ADDED = MappingProxyType({"step_frames": 4})

    arch: str = "att-bigru"
    """Architecture; see ``networks.zoo.NETWORKS``."""
    hidden_size: int = 96
    """Units per recurrent layer and direction."""
    num_layers: int = 2
    """Number of stacked recurrent layers."""
    dropout: float = 0.2
    """Dropout probability between layers and before the output."""
    readout: str = "attention"
    """Pooling over time: ``last``, ``mean`` or ``attention``; ``stream``: an output per step."""
    step_frames: int = 2
    """Frames for each step of the recurrence behind convolutions, 2 or 4."""

    @property
    def is_streaming(self) -> bool:
        """Whether there is an output for each step of a stream, not one for each clip."""
        return self.readout == "stream"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        self._require_positive("hidden_size", "num_layers")
        self._require_fraction("dropout")
        self._require("step_frames", self.step_frames in (2, 4), "2 or 4")
        self._require("readout", self.readout in READOUTS, f"one of {', '.join(READOUTS)}")


@dataclass(frozen=True)
class TrainConfig(Config):
    """How a network is trained; the defaults are the recipe ``standard``."""

    ADDED = MappingProxyType({"n_spoken": 900, "snapshots": ()})

    recipe: str = "standard"
    """Settings to start from: ``fast``, ``standard``, ``best``, ``stream``, ``adapt``."""
    epochs: int = 40
    """Largest number of epochs."""
    batch_size: int = 64
    """Clips per step; on CUDA up to 512 where there are many clips, unless it is given."""
    lr: float = 2e-3
    """Peak learning rate of AdamW, reached after the warm-up; higher for larger batches of CUDA."""
    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW."""
    warmup_ratio: float = 0.05
    """Fraction of the steps in which the learning rate rises from zero; a cosine decay follows."""
    max_grad_norm: float = 1.0
    """Euclidean norm that gradients are clipped to."""
    label_smoothing: float = 0.05
    """Target probability that is spread evenly over all words."""
    ema_decay: float = 0.998
    """Decay per step of the EMA of the weights, which becomes the model; 0: no EMA."""
    patience: int = 20
    """Epochs without a better validation result after which training stops."""
    unknown_ratio: float = 3.0
    """Largest number of ``_unknown_`` clips per epoch, as a multiple of the mean per command."""
    silence_ratio: float = 1.0
    """Number of ``_silence_`` clips per epoch, as a multiple of the mean per command."""
    scramble_ratio: float = 2.0
    """Number of scrambled commands per epoch, trained as ``_unknown_``, as such a multiple."""
    n_spoken: int = 900
    """Words that nobody says, by synthetic voices, trained as ``_unknown_``."""
    epoch_clips: int = 2_000
    """Smallest number of clips per epoch; smaller sets are repeated with fresh augmentation."""
    speed_max: float = 0.15
    """Largest relative change of the playback speed, either way."""
    shift_max: float = 0.1
    """Largest shift in time either way, as a fraction of the window."""
    equaliser_prob: float = 0.2
    """Probability that a clip passes through a random equaliser."""
    equaliser_db: float = 6.0
    """Largest gain of the equaliser either way, dB."""
    reverb_prob: float = 0.1
    """Probability that a clip is reverberated."""
    noise_prob: float = 0.8
    """Probability that background noise is mixed into a clip."""
    snr_low_db: float = 0.0
    """Lowest signal-to-noise ratio of the background noise, dB."""
    snr_high_db: float = 30.0
    """Highest signal-to-noise ratio of the background noise, dB."""
    gain_db: float = 6.0
    """Largest change of a clip's level either way, dB."""
    time_masks: int = 2
    """Number of time masks per clip (SpecAugment)."""
    time_mask_max: float = 0.12
    """Longest time mask, as a fraction of the window."""
    frequency_masks: int = 2
    """Number of frequency masks per clip (SpecAugment); only features with bands have them."""
    frequency_mask_max: float = 0.125
    """Widest frequency mask, as a fraction of the bands."""
    seed: int = 0
    """Seed of the initial weights, the order of the clips and the augmentation."""
    snapshots: tuple[int, ...] = ()
    """Epochs at whose end the network is kept beside the model, for ``explain``."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        self._require("recipe", self.recipe in RECIPE_NAMES, f"one of {', '.join(RECIPE_NAMES)}")
        self._require_positive("epochs", "batch_size", "lr", "max_grad_norm", "patience")
        self._require_positive("unknown_ratio", "silence_ratio", "epoch_clips")
        self._require_fraction("warmup_ratio", "label_smoothing", "ema_decay", "speed_max")
        self._require_fraction("shift_max", "time_mask_max", "frequency_mask_max")
        self._require_probability("equaliser_prob", "reverb_prob", "noise_prob")
        self._require_not_negative("time_masks", "frequency_masks", "scramble_ratio")
        self._require_not_negative("equaliser_db", "gain_db", "weight_decay", "n_spoken")
        for name in ("snr_low_db", "snr_high_db"):
            self._require(name, math.isfinite(getattr(self, name)), "a number")
        high = self.snr_high_db
        self._require("snr_low_db", self.snr_low_db <= high, f"at most snr_high_db ({high:g})")
        self._require("seed", 0 <= self.seed < 2**63, "a whole number from 0")
        if early := [epoch for epoch in self.snapshots if epoch < 1]:
            raise ConfigError(f"{early[0]}: no such epoch; the first one is 1", field="snapshots")


@dataclass(frozen=True)
class DataConfig(Config):
    """How a training reads, labels and splits its data set."""

    commands: tuple[str, ...] = ()
    """Labels to recognise; every other word is ``_unknown_``. Empty: each word is a label."""
    test_speakers: tuple[str, ...] = ()
    """Speakers who are held out for the test, besides those whom the data itself holds out."""
    pattern: str | None = None
    """Meaning of file names, as ``{label}_{speaker}_{take}``; ``{_}`` matches anything."""
    noise: str | None = None
    """Folder of background recordings, besides those in ``_background_noise_``."""
    columns: tuple[str, ...] = ()
    """What a manifest calls its columns, as ``path=file``; empty: found by their names."""
    root: str | None = None
    """Folder that the paths in a manifest are relative to, where it is not the manifest's own."""
    channel: int | None = None
    """Channel of each recording to use, from 1 on; the mean of all where none is named."""
    segment: bool = False
    """Whether long recordings of several words are taken apart, at the pauses."""
    stream_shards: bool = False
    """Whether recordings in shards are decoded anew in each epoch, and kept nowhere."""
    buffer_clips: int = 16_384
    """Clips that such a training has in memory at once, and shuffles."""
    mistakes: str | None = None
    """Folder of reviewed events, from which the training learns too."""
    max_bad: float = 0.01
    """Largest fraction of clips that may be unusable."""
    closed: bool = False
    """Whether every sound is taken for one of the labels; else sounds to reject are made."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        self._require_probability("max_bad")
        self._require("channel", self.channel is None or self.channel >= 1, "1 or more")
        self._require("buffer_clips", self.buffer_clips >= 1, "1 or more")


RECIPE_NAMES = ("fast", "standard", "stream", "best", "adapt")
STREAM, ADAPT = "stream", "adapt"
"""Names of the recipes for streaming audio, and for a network that starts from a trained one."""
STREAM_FEATURES: dict[str, Any] = {"running_s": 1.0}
STREAM_NETWORK: dict[str, Any] = {"arch": "crnn", "readout": "stream", "step_frames": 4}
"""Defaults of a streaming model, where nothing else is given."""
RECIPES = {
    "fast": TrainConfig("fast", epochs=4, ema_decay=0.99),
    "standard": TrainConfig(),
    STREAM: TrainConfig(STREAM),
    "best": TrainConfig("best", epochs=120, equaliser_prob=0.5, reverb_prob=0.3),
    ADAPT: TrainConfig(ADAPT, epochs=12, lr=3e-4, ema_decay=0.99),
}
"""Training settings by name: for a first look, every day, a night; streams; a trained network."""


@dataclass(frozen=True)
class Span:
    """The numbers that a search may try as a setting."""

    low: float
    high: float
    is_log: bool = False
    """Whether they are drawn evenly in the logarithm."""
    step: float | None = None
    """Distance of two numbers; None: any number."""


SEARCHED = {
    "duration_s": Span(0.75, 1.5, step=0.25),  # times the usual length of the clips
    "hidden_size": Span(16, 192, step=16),
    "num_layers": Span(1, 3, step=1),
    "dropout": Span(0.0, 0.5),
    "lr": Span(1e-4, 1e-2, is_log=True),
    "weight_decay": Span(1e-3, 0.1, is_log=True),
    "label_smoothing": Span(0.0, 0.2),
    "speed_max": Span(0.0, 0.3),
    "shift_max": Span(0.0, 0.25),
    "equaliser_prob": Span(0.0, 0.8),
    "reverb_prob": Span(0.0, 0.6),
    "noise_prob": Span(0.0, 1.0),
    "time_mask_max": Span(0.0, 0.3),
    "frequency_mask_max": Span(0.0, 0.3),
}
"""Fields of the configurations above that a search chooses beside the architecture and the model to
start from: what decides most of a training, and may be chosen by its validation clips. Every recipe
lies within."""


@dataclass(frozen=True)
class SearchConfig(Config):
    """How long settings are searched for."""

    trials: int = 40
    """Settings that are tried, the default ones first."""
    minutes: float = 60.0
    """Time after which the search ends, minutes."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        self._require_positive("trials", "minutes")


ADAPTED: dict[str, Any] = {"scramble_ratio": 0.0, "n_spoken": 0}
"""Defaults of a training that starts from a model with other words, which are rejected instead."""

DEFAULT_EVERY_S = 0.1
"""Hop of a sliding window over streaming audio, seconds."""
DEFAULT_FA_PER_HOUR = 0.5
"""False alarms per hour that calibration allows."""


@dataclass(frozen=True)
class EventSettings(Config):
    """How posteriors over time become detections."""

    smoothing_s: float = 0.2
    """Length of the moving average over the posteriors, seconds."""
    min_s: float = 0.1
    """Shortest time that a posterior has to stay above its threshold, seconds."""
    refractory_s: float = 0.8
    """Shortest distance of detections, seconds; of closer ones only the most probable is kept."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("smoothing_s", "min_s", "refractory_s"):
            self._require(name, 0 <= getattr(self, name) <= 60, "0 to 60 seconds")


SHARD_FORMS = ("parquet", "tar")


@dataclass(frozen=True)
class ShardSettings(Config):
    """How a data set is written as shards."""

    form: str = "parquet"
    """``parquet``, as the Hugging Face Hub has it, or ``tar``, of WebDataset."""
    shard_mb: float = 500.0
    """A shard ends with the clip that makes it this large, 10^6 bytes of recordings."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        self._require("form", self.form in SHARD_FORMS, " or ".join(SHARD_FORMS))
        self._require("shard_mb", 0 < self.shard_mb < math.inf, "more than 0")
