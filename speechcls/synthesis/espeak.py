"""Clips of any words, spoken by many synthetic voices: espeak-ng, GPL-3, an optional extra."""

import _ctypes
import ctypes
import random
import re
import sys
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, cycle, islice, repeat, takewhile
from pathlib import Path

import numpy as np
import soxr

from speechcls.audio.samples import PCM, PCM_SCALE, Samples
from speechcls.audio.wav import wav_bytes
from speechcls.config import FeatureConfig
from speechcls.errors import AudioError, ConfigError, DatasetError, reason_of
from speechcls.files import is_file_name, write_atomic
from speechcls.labels import UNKNOWN, is_reserved, name_take
from speechcls.synthesis.other_words import draw_words

SAMPLE_RATE = FeatureConfig.sample_rate  # Hz, of the written clips

# Of 104 variants, measured on 20 words in 8 English accents, we leave out those without voice
# (whisper, whisperf, caleb: periodicity 0.26-0.41, else 0.48-0.99), those recognised poorly by
# a classifier trained on the others (zac, Alicia, kaukovalta: recall 0.79-0.83, mean 0.99), one
# overdriven at any volume (iven), and novelty voices (robots, echoes, a demon, a test of rates).
_DROPPED = re.compile("whisperf?|caleb|zac|Alicia|kaukovalta|iven|.*[Rr]obo.*|Rici.*|Demonic|fast")
_VOLUME = 30  # percent of espeak's usual: above it the loud variants clip; `finish_clip` levels
_MUTE = ("fo", "kaa", "xex")  # languages listed without their dictionaries
_unload = getattr(_ctypes, "FreeLibrary" if sys.platform == "win32" else "dlclose")
# espeak_VOICE begins with its name, its languages (a priority byte, then a tag) and its file
_VOICES = ctypes.POINTER(ctypes.POINTER(ctypes.c_char_p * 3))
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker."""

    accent: str  # espeak-ng's voice, such as en-gb-scotland
    variant: str  # its timbre, such as f3, or '' for the accent's own
    pitch: int  # 0 to 99; 50 is the variant's own
    pitch_range: int  # 0 (monotone) to 100; 50 is the variant's own
    rate_wpm: int  # words per minute, 80 to 450

    @property
    def name(self) -> str:
        """File-safe identifier, unique per voice, without underscores."""
        timbre = re.sub(r"[^a-z0-9]", "", self.variant.lower()) or "plain"
        return f"{self.accent}-{timbre}-p{self.pitch}-r{self.pitch_range}-w{self.rate_wpm}"


@dataclass(frozen=True)
class SynthResult:
    """Clips on disk, and a line ``word: voice: reason`` for each voice that failed at a word."""

    n_written: int
    skipped: list[str]


class EspeakSynthesiser:
    """The speech synthesiser espeak-ng: its accents (language tag to voice), variants and speech.

    It keeps state between clips (pitch flutter, gain control) that only a fresh copy of the library
    resets: it is loaded and unloaded for each clip, 0.3 ms of 4 ms, so that a clip depends on its
    text and voice alone.

    Raises
    ------
    ConfigError
        When espeakng-loader is not installed or does not work.
    """

    def __init__(self) -> None:
        self.accents: dict[str, str] = {}
        self._libc = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
        try:
            import espeakng_loader

            self._library = Path(espeakng_loader.get_library_path())
            self._data = self._library.with_name("espeak-ng-data")
            with self._engine() as engine:
                engine.espeak_ListVoices.restype = _VOICES
                records = engine.espeak_ListVoices(None)
                for record in takewhile(bool, map(records.__getitem__, count())):
                    _, tag, path = (field.decode().lower() for field in record.contents)
                    self.accents[tag[1:]] = path.rpartition("/")[2]
        except (ImportError, OSError) as error:
            raise ConfigError(f"espeak-ng: {error}; run pip install 'speechcls[synth]'") from error
        self.variants = ["", *sorted(path.name for path in self._data.glob("voices/!v/*"))]

    @contextmanager
    def _engine(self) -> Iterator[ctypes.CDLL]:
        """Load and initialise the library, unload it in the end."""
        engine = ctypes.CDLL(str(self._library))
        try:
            # 2: synchronous, into the callback; 0x8000: return on errors, do not exit
            self.sample_rate = engine.espeak_Initialize(2, 0, bytes(self._data), 0x8000)
            if self.sample_rate <= 0:
                raise ConfigError(
                    f"{self._data}: espeak-ng cannot read it, or its path exceeds 159 bytes;"
                    " install in a shorter path"
                )
            yield engine
        finally:
            engine.espeak_Terminate()
            _unload(engine._handle)

    def speak(self, text: str, voice: Voice) -> Samples:
        """Return a spoken text as samples (n_samples,) in [-1, 1] at ``sample_rate`` Hz.

        Raises
        ------
        AudioError
            When the voice is unknown, or fails at the text.
        """
        chunks: list[bytes] = []

        def collect(wave: int | None, n_samples: int, _events: int | None) -> int:
            if wave and n_samples > 0:
                chunks.append(ctypes.string_at(wave, 2 * n_samples))
            return 0  # go on

        name = f"{voice.accent}+{voice.variant}".rstrip("+")
        callback, encoded = _CALLBACK(collect), text.encode()
        with self._engine() as engine:
            engine.espeak_SetSynthCallback(callback)
            # espeak-ng itself silently ignores an unknown variant
            if voice.variant not in self.variants or engine.espeak_SetVoiceByName(name.encode()):
                raise AudioError(f"{name}: not an espeak-ng voice; use those of make_voices")
            settings = (voice.rate_wpm, _VOLUME, voice.pitch, voice.pitch_range)
            for parameter, value in enumerate(settings, start=1):
                engine.espeak_SetParameter(parameter, value, 0)
            engine.espeak_ng_SetRandSeed(ctypes.c_long(0))  # for breath, else drawn by the clock,
            self._libc.srand(0)  # and for the noise of the klatt voices
            if engine.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, 1, None, None):  # 1: UTF-8
                raise AudioError(f"{name}: espeak-ng fails at {text!r}; use another voice")
        return np.frombuffer(b"".join(chunks), np.int16).astype(np.float32) / np.float32(PCM_SCALE)


def make_voices(n_voices: int | None, language: str, seed: int) -> list[Voice]:
    """Return voices of a language, each accent with each variant once, in random order.

    Pitch, pitch range and rate are drawn at random.

    Parameters
    ----------
    n_voices : how many of them; None: all

    Raises
    ------
    ConfigError
        When the language is unknown, or has fewer voices.
    """
    synthesiser, language = EspeakSynthesiser(), language.lower()
    known = {tag: accent for tag, accent in synthesiser.accents.items() if tag not in _MUTE}
    tags = [tag for tag in known if f"{tag}-".startswith(f"{language}-")]
    # a part of four letters names a script: the same accent in another spelling (fa-latn)
    accents = [known[tag] for tag in tags if len(tags) == 1 or not re.search(r"-\w{4}\b", tag)]
    if not accents:
        names = ", ".join(sorted({tag.partition("-")[0] for tag in known}))
        raise ConfigError(
            f"{language!r} is not one of espeak-ng; choose from {names}", field="language"
        )
    variants = usable_variants(synthesiser)
    rng = random.Random(f"{language} {seed}")
    rng.shuffle(variants)
    rng.shuffle(accents)
    voices = [
        Voice(accent, variant, rng.randint(15, 85), rng.randint(20, 90), rng.randint(100, 220))
        for start in range(len(accents))  # round by round, each variant meets its next accent
        for variant, accent in zip(variants, cycle(accents[start:] + accents[:start]))
    ]
    if n_voices is not None and not 1 <= n_voices <= len(voices):
        raise ConfigError(
            f"{n_voices} is not possible; {language} has 1 to {len(voices)} voices",
            field="n_voices",
        )
    return voices[:n_voices]


def usable_variants(synthesiser: EspeakSynthesiser) -> list[str]:
    """Return the timbres that speak as people do."""
    return [variant for variant in synthesiser.variants if not _DROPPED.fullmatch(variant)]


def _check_words(words: Sequence[str], out: Path) -> None:
    """Refuse words that cannot each name a new folder in ``out``."""
    seen: dict[str, str] = {}
    for word in words:
        if not is_file_name(word) or (is_reserved(word) and word != UNKNOWN):
            raise ConfigError(f"{word!r}: cannot name a folder; spell it in letters, as it sounds")
        key = unicodedata.normalize("NFC", word).casefold()  # as file systems compare names
        if key in seen:
            raise ConfigError(f"{word}: given twice (as {seen[key]}); leave one out")
        seen[key] = word
        folder = out / word
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder}: exists already; choose another path")


def finish_clip(samples: Samples, rate: int, rng: random.Random) -> PCM:
    """Return a word (n_samples,) at ``rate`` Hz between short silences, at 16 kHz, random level.

    Raises
    ------
    AudioError
        When it is silent.
    """
    if np.abs(samples).max(initial=0.0) < 0.002:  # the quietest variant peaks at 0.02
        raise AudioError("silent")
    samples = soxr.resample(samples, rate, SAMPLE_RATE)
    peak = np.abs(samples).max()
    loud = np.flatnonzero(np.abs(samples) > 0.01 * peak)
    word = samples[loud[0] : loud[-1] + 1] * (10 ** rng.uniform(-1.0, -0.05) / peak)
    pads = [round(rng.uniform(0.05, most_s) * SAMPLE_RATE) for most_s in (0.2, 0.1)]
    return np.round(np.pad(word, pads) * 32767).astype(np.int16)


def _write_clip(path: Path, clip: PCM) -> None:
    """Write a clip whole or not at all."""
    try:
        write_atomic(path, wav_bytes(clip, SAMPLE_RATE))
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be written ({reason_of(error)}); choose another path"
        ) from error


def _texts(word: str, own_words: list[str], seed: int) -> Iterator[str]:
    """Yield what is spoken for each clip of a label: for ``_unknown_`` each time another word."""
    if word == UNKNOWN:
        return draw_words(own_words, random.Random(f"other words {seed}"))
    return repeat(unicodedata.normalize("NFC", word))


def _clips(
    synthesiser: EspeakSynthesiser,
    word: str,
    texts: Iterator[str],
    voices: list[Voice],
    seed: int,
    skipped: list[str],
) -> Iterator[tuple[str, PCM]]:
    """Yield file name and clip (n_samples,) of each voice in turn, then of further takes."""
    submit = ThreadPoolExecutor(1).submit  # in the main thread, espeak's callback swallows Ctrl-C
    queue = deque((voice, 0) for voice in voices)
    while queue:
        voice, take = queue.popleft()
        rng = random.Random(f"{seed} {word} {voice.name} {take}")
        spoken, prosody = voice, (voice.pitch, voice.pitch_range, voice.rate_wpm)
        if take:  # make_voices leaves room for this within espeak's ranges
            varied = (value + rng.randint(-8, 8) for value in prosody)
            spoken = Voice(voice.accent, voice.variant, *varied)
        try:
            samples = submit(synthesiser.speak, next(texts), spoken).result()
            clip = finish_clip(samples, synthesiser.sample_rate, rng)
        except AudioError as error:
            skipped.append(f"{word}: {voice.name}: {error}")
            continue
        queue.append((voice, take + 1))
        yield f"{name_take(voice.name, take)}.wav", clip


def synthesise(
    words: Sequence[str],
    out: Path,
    per_word: int,
    language: str = "en",
    seed: int = 0,
    on_clip: Callable[[], None] | None = None,
) -> SynthResult:
    """Write clips of each word to ``out/<word>``; return how many, and which voices failed.

    The same voices speak all words, one clip each; after the last voice they begin again with a
    further take. A voice that fails at a word is replaced there by the next one. The same seed
    gives the same bytes. ``_unknown_`` stands for words that are none of the others, nor of those
    that have a folder in ``out``; each clip of it is another one.

    Parameters
    ----------
    per_word : clips of each word
    on_clip : called after each clip

    Raises
    ------
    ConfigError
        When a word, path or number is unusable, before anything is written.
    DatasetError
        When a clip cannot be written.
    """
    _check_words(words, out)
    if per_word < 1:
        raise ConfigError(f"{per_word} is not possible; ask for at least 1", field="per_word")
    voices, synthesiser = make_voices(None, language, seed), EspeakSynthesiser()
    there = [path.name for path in out.iterdir()] if out.is_dir() else []
    own = sorted({word for word in (*words, *there) if not is_reserved(word)})

    def clips(word: str, skipped: list[str]) -> Iterator[tuple[str, PCM]]:
        return _clips(synthesiser, word, _texts(word, own, seed), voices, seed, skipped)

    for word in words:
        if next(clips(word, []), None) is None:
            raise ConfigError(f"{word}: no voice of {language} can speak it; change its spelling")
    n_written, skipped = 0, list[str]()
    for word in words:
        for name, clip in islice(clips(word, skipped), per_word):
            _write_clip(out / word / name, clip)
            n_written += 1
            if on_clip is not None:
                on_clip()
    return SynthResult(n_written, skipped)
