"""Synthetic speech: voices, what each says, and what is missing or not there."""

import builtins
import re
import time
from dataclasses import replace

import numpy as np
import pytest

from speechcls.errors import AudioError, ConfigError
from speechcls.synthesis.espeak import EspeakSynthesiser, Voice, make_voices, synthesise

pytest.importorskip(
    "espeakng_loader", reason="espeak-ng is optional: pip install 'speechcls[synth]'"
)


def test_english_has_many_voices_and_a_file_safe_name_for_each():
    voices = make_voices(200, "en", seed=0)
    assert len(set(voices)) == 200
    assert len({voice.name.casefold() for voice in voices}) == 200
    assert all(re.fullmatch(r"[a-z0-9-]{1,60}", voice.name) for voice in voices)
    assert {voice.accent for voice in voices} == {
        *("en", "en-us", "en-us-nyc", "en-029", "en-gb-scotland", "en-gb-x-rp"),
        *("en-gb-x-gbclan", "en-gb-x-gbcwmd"),
    }
    assert len({voice.variant for voice in voices}) > 80
    for field in ("pitch", "pitch_range", "rate_wpm"):
        assert len({getattr(voice, field) for voice in voices}) > 50


def test_few_voices_already_differ_in_accent_and_variant():
    voices = make_voices(8, "en", seed=5)
    assert len({voice.accent for voice in voices}) == 8
    assert len({voice.variant for voice in voices}) == 8


def test_voices_depend_on_the_seed_alone_and_grow_at_the_end():
    voices = make_voices(20, "en", seed=1)
    assert voices == make_voices(664, "EN", seed=1)[:20]
    assert voices != make_voices(20, "en", seed=2)


# fa-latn is a spelling, not an accent
@pytest.mark.parametrize("accents", ["de", "es es-419", "en-us en-us-nyc", "fa", "fa-latn"])
def test_accents_of_a_language(accents):
    voices = make_voices(None, accents.split()[0], seed=0)
    assert {voice.accent for voice in voices} == set(accents.split())
    assert len(voices) == 83 * len(accents.split())


def test_voices_without_speech_are_left_out():
    variants = {voice.variant for voice in make_voices(None, "de", seed=0)}
    assert variants.isdisjoint({"whisper", "whisperf", "caleb", "robosoft8", "RicishayMax3"})
    assert variants >= {"", "f1", "f5", "m1", "m8", "rob", "robert", "Mr serious"}


@pytest.mark.parametrize("n_voices", [0, 665])
def test_a_count_of_voices_that_there_is_not(n_voices):
    with pytest.raises(
        ConfigError, match=rf"^n_voices: {n_voices} is not possible; en has 1 to 664 voices"
    ):
        make_voices(n_voices, "en", seed=0)


@pytest.mark.parametrize("language", ["tlh", "", "e", "fo"])
def test_an_unknown_language_lists_the_known_ones(language):
    with pytest.raises(ConfigError) as caught:
        make_voices(1, language, seed=0)
    assert str(caught.value).startswith(
        f"language: {language!r} is not one of espeak-ng; choose from af,"
    )
    assert {"de", "en", "cmn"} <= set(re.split(r"[ ,]+", str(caught.value)))


def test_speech_does_not_depend_on_what_was_said_before(speaker):
    # croak flutters, f5 and Reed breathe (noise of two sources), Jacky is loud (gain control)
    variants = ("croak", "f5", "Reed", "Jacky")
    voices = [Voice("en-us", variant, 60, 70, 150) for variant in variants]
    first = [speaker.speak("yes", voice) for voice in voices]
    speaker.speak("something else altogether", Voice("de", "Reed", 10, 90, 300))
    time.sleep(1.1)  # espeak-ng seeds its noise with the second
    again = [EspeakSynthesiser().speak("yes", voice) for voice in reversed(voices)][::-1]
    for before, after in zip(first, again, strict=True):
        np.testing.assert_array_equal(before, after)


def test_speech_is_float32_at_the_rate_of_espeak_and_neither_faint_nor_clipped(speaker):
    assert speaker.sample_rate == 22_050
    for variant in ("klatt2", "f3", "antonio", "ed"):  # the quietest, a usual one, the loudest
        samples = speaker.speak("zero", Voice("en-gb-x-rp", variant, 80, 50, 160))
        assert samples.dtype == np.float32
        assert 0.2 < samples.size / speaker.sample_rate < 1.0
        assert 0.01 < np.abs(samples).max() < 0.95


@pytest.mark.parametrize(
    ("field", "value"),
    [("accent", "de"), ("variant", ""), ("pitch", 70), ("pitch_range", 90), ("rate_wpm", 161)],
)
def test_each_part_of_a_voice_makes_a_difference(speaker, field, value):
    voice = Voice("en-us", "f3", pitch=50, pitch_range=50, rate_wpm=160)
    other = replace(voice, **{field: value})
    assert not np.array_equal(speaker.speak("yes", voice), speaker.speak("yes", other))
    assert voice.name != other.name


def test_pitch_and_rate_mean_what_they_say(speaker):
    slow, fast = (
        speaker.speak("yes", Voice("en-us", "m1", 50, 50, rate)).size for rate in (100, 300)
    )
    assert slow > 1.5 * fast

    def fundamental_hz(pitch):
        samples = speaker.speak("no", Voice("en-us", "m1", pitch, 0, 100))
        middle = samples[samples.size // 3 :][:2048]
        lags = np.correlate(middle, middle, "full")[2048 - 1 :]
        return speaker.sample_rate / (50 + np.argmax(lags[50:400]))

    assert fundamental_hz(90) > 1.3 * fundamental_hz(10)


@pytest.mark.parametrize(
    ("language", "words"),
    [("de", ["grüßen", "grasen"]), ("ru", ["да", "нет"]), ("cmn", ["是", "不"])],
)
def test_text_is_read_as_utf8_in_its_language(speaker, language, words):
    one, other = (speaker.speak(word, Voice(language, "m1", 50, 50, 160)) for word in words)
    assert not np.array_equal(one, other)
    for samples in (one, other):
        assert 0.15 < samples.size / speaker.sample_rate < 0.8  # a word, not letters spelled out
        assert np.abs(samples).max() > 0.02


@pytest.mark.parametrize("voice", [Voice("xx", "f3", 50, 50, 160), Voice("en", "x3", 50, 50, 160)])
def test_an_unknown_voice_is_an_error_rather_than_another_voice(speaker, voice):
    with pytest.raises(AudioError, match=rf"^{voice.accent}\+{voice.variant}: not an espeak-ng"):
        speaker.speak("yes", voice)


def test_without_espeak_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    real_import = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "espeakng_loader":
            raise ModuleNotFoundError("No module named 'espeakng_loader'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError, match=r"run pip install 'speechcls\[synth\]'$"):
        synthesise(["yes"], tmp_path, per_word=1)


def test_voices_data_that_espeak_cannot_read(tmp_path, monkeypatch, capfd):
    import espeakng_loader

    library = tmp_path / ("x" * 160) / "libespeak-ng.so"
    library.parent.mkdir()
    library.symlink_to(espeakng_loader.get_library_path())
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(library))
    with pytest.raises(ConfigError, match=r"espeak-ng-data: espeak-ng cannot read it, or its path"):
        EspeakSynthesiser()
    capfd.readouterr()  # espeak-ng complains on its own
