"""Every setting with its default and unit: frozen dataclasses that turn into JSON and back."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_args, get_origin, get_type_hints

from speechcls.errors import ConfigError

MODELS = Path("models")
"""Where ``train`` puts models and ``predict`` looks for them, in the current folder."""

FEATURE_KINDS = ("mfcc", "log-mel")
READOUTS = ("last", "mean", "attention", "stream")
SIZES = {"tiny": 30_000, "small": 100_000, "base": 400_000}
"""Parameters that a network of each size stays below."""


@dataclass(frozen=True)
class Config:
    """What the configurations share: JSON in and out, with unknown and missing keys refused."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build the configuration from parsed JSON.

        Raises
        ------
        ConfigError
            When a key is unknown or missing, or a value has the wrong type or is impossible.
        """
        types = get_type_hints(cls)
        unknown, missing = sorted(values.keys() - types), sorted(types.keys() - values.keys())
        if unknown or missing:
            problems = [f"unknown {', '.join(unknown)}"] if unknown else []
            problems += [f"missing {', '.join(missing)}"] if missing else []
            raise ConfigError(f"{cls.__name__}: {'; '.join(problems)}; valid: {', '.join(types)}")
        for name, value in values.items():
            is_dict = get_origin(types[name]) is dict
            accepted = (dict,) if is_dict else get_args(types[name]) or (types[name],)
            if float in accepted and type(value) is int:
                continue  # JSON writes 1.0 and 1 alike
            if type(value) not in accepted:
                raise ConfigError(f"{cls.__name__}.{name}: {value!r} has the wrong type")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values, in their order."""
        return dataclasses.asdict(self)

    def _require(self, name: str, allowed: bool, what: str) -> None:
        """Refuse the field ``name`` unless ``allowed``, saying what it has to be."""
        if not allowed:
            value = getattr(self, name)
            raise ConfigError(f"{value!r} is not possible; it must be {what}", field=name)

    def _require_positive(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            self._require(name, math.isfinite(value) and value > 0, "a positive number")

    def _require_share(self, *names: str) -> None:
        for name in names:
            self._require(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")


@dataclass(frozen=True)
class FeatureConfig(Config):
    """How samples become features."""

    kind: str = "mfcc"
    """``mfcc`` (mel-frequency cepstral coefficients) or ``log-mel`` (mel energies in dB)."""
    sample_rate: int = 16_000
    """Samples a second; recordings of any other rate are resampled."""
    duration_s: float = 1.0
    """Length of the window that the model hears, seconds."""
    n_fft: int = 512
    """Length of the Fourier transform, samples."""
    win_length: int = 480
    """Length of the Hann window, samples (30 ms at 16 kHz)."""
    hop_length: int = 160
    """Step from one frame to the next, samples (10 ms at 16 kHz)."""
    n_mels: int = 40
    """Number of mel bands."""
    n_mfcc: int = 40
    """Number of cepstral coefficients; not used by ``log-mel``."""
    fmin: float = 20.0
    """Lower edge of the mel bands, Hz."""
    fmax: float = 7_600.0
    """Upper edge of the mel bands, Hz."""
    relative: bool = True
    """Whether energies count from their mean in the clip, so that loud and faint are alike."""
    running_s: float = 0.0
    """Time constant, seconds, of a running mean in place of the clip's, for streams; 0: none."""
    range_db: float = 70.0
    """How far below that mean energies are told apart; not used by absolute ones."""
    power_floor: float = 1e-10
    """Mel power below which a band counts as silent, so that the logarithm stays finite."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        kinds = f"one of {', '.join(FEATURE_KINDS)}"
        self._require("kind", self.kind in FEATURE_KINDS, kinds)
        self._require_positive("sample_rate", "duration_s", "n_fft", "win_length", "hop_length")
        self._require_positive("n_mels", "n_mfcc", "range_db", "power_floor")
        self._require("win_length", self.win_length <= self.n_fft, f"at most n_fft ({self.n_fft})")
        if self.kind == "mfcc":
            self._require("n_mfcc", self.n_mfcc <= self.n_mels, f"at most n_mels ({self.n_mels})")
        nyquist = self.sample_rate / 2
        self._require(
            "fmax", self.fmax <= nyquist, f"at most half the sample rate ({nyquist:g} Hz)"
        )
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
        return self.n_mfcc if self.kind == "mfcc" else self.n_mels


@dataclass(frozen=True)
class NetworkConfig(Config):
    """Which network of the zoo, and how large."""

    arch: str = "att-bigru"
    """Name in ``speechcls.networks.NETWORKS``; ``speechcls archs`` lists them."""
    hidden_size: int = 96
    """Units of a recurrent layer, in each direction."""
    num_layers: int = 2
    """Recurrent layers on top of each other."""
    dropout: float = 0.2
    """Share of values zeroed in training, between layers and before the output."""
    readout: str = "attention"
    """How frames become one vector: ``last``, ``mean``, ``attention``; ``stream``: each answers."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        self._require_positive("hidden_size", "num_layers")
        self._require_share("dropout")
        self._require("readout", self.readout in READOUTS, f"one of {', '.join(READOUTS)}")


@dataclass(frozen=True)
class TrainConfig(Config):
    """How a network is trained; the defaults are the recipe ``standard``."""

    recipe: str = "standard"
    """Name in ``RECIPES`` of the settings that the others started from."""
    epochs: int = 40
    """Most passes over the training clips."""
    batch_size: int = 64
    """Clips in one step."""
    lr: float = 2e-3
    """Highest learning rate of AdamW, reached after the warm-up."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    warmup_ratio: float = 0.05
    """Share of all steps in which the learning rate rises from zero; then it falls as a cosine."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this Euclidean norm."""
    label_smoothing: float = 0.05
    """Share of the target probability that is spread over all words."""
    ema_decay: float = 0.998
    """What a step leaves of the running average of the weights, which is the model; 0: none."""
    patience: int = 20
    """Epochs without a better validation result after which training ends."""
    unknown_ratio: float = 3.0
    """Most ``_unknown_`` clips in an epoch (before it is repeated), in the mean command's clips."""
    silence_ratio: float = 1.0
    """``_silence_`` clips in an epoch, as a multiple of the mean command's clips."""
    scramble_ratio: float = 2.0
    """Scrambled commands in an epoch, as a multiple of the mean command's clips: ``_unknown_``."""
    epoch_clips: int = 2_000
    """Fewest clips in an epoch; a smaller set is repeated, each time changed anew."""
    speed_max: float = 0.15
    """A clip is played faster or slower by up to this share."""
    shift_max: float = 0.1
    """A clip is moved by up to this share of the window either way."""
    equaliser_prob: float = 0.2
    """Share of the clips that go through a random equaliser."""
    equaliser_db: float = 6.0
    """Largest gain of the equaliser either way, dB."""
    reverb_prob: float = 0.1
    """Share of the clips that are put into a room."""
    noise_prob: float = 0.8
    """Share of the clips that get background noise."""
    snr_low_db: float = 0.0
    """Loudest background noise: ratio of the clip's power to the noise's, dB."""
    snr_high_db: float = 30.0
    """Faintest background noise, dB."""
    gain_db: float = 6.0
    """A clip is made louder or fainter by up to this, dB."""
    time_masks: int = 2
    """Stretches of a clip's features that are blanked out."""
    time_mask_max: float = 0.12
    """Longest such stretch, as a share of the window."""
    frequency_masks: int = 2
    """Ranges of a clip's mel bands that are blanked out; ``log-mel`` alone has bands."""
    frequency_mask_max: float = 0.125
    """Widest such range, as a share of the bands."""
    seed: int = 0
    """Seed of the weights, the order of the clips and everything drawn at random."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        self._require_positive("epochs", "batch_size", "lr", "max_grad_norm", "patience")
        self._require_positive("unknown_ratio", "silence_ratio", "epoch_clips")
        self._require_share("warmup_ratio", "label_smoothing", "ema_decay", "speed_max")
        self._require_share("shift_max", "time_mask_max", "frequency_mask_max")
        for name in ("equaliser_prob", "reverb_prob", "noise_prob"):
            self._require(name, 0 <= getattr(self, name) <= 1, "in 0 .. 1")
        for name in ("time_masks", "frequency_masks"):
            self._require(name, getattr(self, name) >= 0, "zero or more")
        for name in ("snr_low_db", "snr_high_db"):
            self._require(name, math.isfinite(getattr(self, name)), "a number")
        for name in ("equaliser_db", "gain_db", "weight_decay", "scramble_ratio"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "zero or more")
        high = self.snr_high_db
        self._require("snr_low_db", self.snr_low_db <= high, f"at most snr_high_db ({high:g})")
        self._require("seed", 0 <= self.seed < 2**63, "a whole number from 0")


STREAM = "stream"
"""Name of the recipe for running sound."""
STREAM_FEATURES: dict[str, Any] = {"running_s": 1.0}
STREAM_NETWORK: dict[str, Any] = {"arch": "crnn", "readout": "stream"}
"""What ``train --streaming`` takes where nothing else is said."""
RECIPES = {
    "fast": TrainConfig("fast", epochs=4, ema_decay=0.99),
    "standard": TrainConfig(),
    STREAM: TrainConfig(STREAM),
    "best": TrainConfig("best", epochs=120, equaliser_prob=0.5, reverb_prob=0.3),
}
"""Training settings by name: for a first look, for every day, for a night."""

DEFAULT_EVERY_S = 0.1
"""Seconds from one answer on running sound to the next, of a model of windows."""


@dataclass(frozen=True)
class EventSettings(Config):
    """How answers become events."""

    smoothing_s: float = 0.2
    """Probabilities are averaged over so long."""
    min_s: float = 0.1
    """A word's probability has to stay above the threshold for so long."""
    refractory_s: float = 0.8
    """Of words whose middles are nearer to each other only the likeliest counts."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("smoothing_s", "min_s", "refractory_s"):
            self._require(name, 0 <= getattr(self, name) <= 60, "0 to 60 seconds")
