"""Recordings with a known truth: level, places, who speaks, and what is the same each time."""

import dataclasses

import numpy as np
import pytest
import soundfile

from speechcls.artifact.format import SplitRow
from speechcls.data.clips import read_clips
from speechcls.errors import AudioError, ConfigError, DatasetError
from speechcls.layouts.load import load_dataset
from speechcls.synthesis import mixing
from speechcls.synthesis.mixing import (
    GAP_S,
    Background,
    MixClips,
    MixSettings,
    add_word,
    choose_clips,
    write_mix,
)

RATE = 16_000
SETTINGS = MixSettings(minutes=0.5, words_per_minute=20.0)


def planted(tone, first_s=0.4, length_s=0.3):
    """A clip of a second with a tone in faint hiss from ``first_s`` on."""
    clip = 1e-4 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    start = round(first_s * RATE)
    word = tone(700, length_s)
    clip[start : start + len(word)] += word
    return clip


@pytest.fixture
def noise(tmp_path, write_wav):
    hiss = 0.01 * np.random.default_rng(1).standard_normal(3 * RATE).astype(np.float32)
    return [write_wav(tmp_path / "noise" / "hiss.wav", hiss)]


@pytest.fixture
def data(tmp_path, write_wav, tone):
    """Twenty speakers, two words of 0.3 s that begin 0.4 s after the beginning of a clip."""
    for i, label in enumerate(("no", "yes")):
        for n in range(20):
            clip = planted(tone) + 3e-5 * (2 * n + i)  # no two are the same
            write_wav(tmp_path / "data" / label / f"s{n:02}_nohash_0.wav", clip)
    return load_dataset(tmp_path / "data")


@pytest.fixture
def store(data):
    return read_clips(data.examples, RATE)


def rows_of(store, split_of_speaker):
    return [
        SplitRow(e.path.name, e.label, e.speaker, split_of_speaker(e.speaker), 0.0, None, 1.0, d)
        for e, d in zip(store.examples, store.digests, strict=True)
    ]


def speakers(store, chosen):
    return {store.examples[i].speaker for i in chosen.words}


def test_nobody_speaks_who_trains(store):
    chosen = choose_clips(store)
    # by the official rule of Speech Commands, as in training
    assert (chosen.split, chosen.labels) == ("test", ("no", "yes"))
    assert speakers(store, chosen) == {"s00", "s01", "s08", "s14", "s19"}
    assert len(chosen.words) == 10


def test_a_model_knows_better_who_trained_it(store):
    rows = rows_of(store, lambda s: "test" if s == "s05" else "train")
    assert speakers(store, choose_clips(store, rows=rows)) == {"s05"}


def test_without_test_speakers_those_speak_who_validated(store):
    rows = rows_of(store, lambda s: "validation" if s == "s05" else "train")
    chosen = choose_clips(store, rows=rows)
    assert (chosen.split, speakers(store, chosen)) == ("validation", {"s05"})


def test_a_new_clip_by_a_speaker_who_trained_is_not_mixed_in(store):
    rows = rows_of(store, lambda s: "validation" if s == "s05" else "train")
    # the model knows one clip of s07 only, and another speaker not at all
    rows = [r for r in rows if (r.speaker, r.label) != ("s07", "no") and r.speaker != "s09"]
    assert speakers(store, choose_clips(store, rows=rows)) == {"s09"}
    with pytest.raises(DatasetError, match="by a speaker who is held out of training"):
        choose_clips(store, rows=rows_of(store, lambda s: "train"))


def test_other_words_than_the_commands_are_distractors(store):
    chosen = choose_clips(store, ["yes"])
    assert {store.examples[i].label for i in chosen.words} == {"yes"}
    assert {store.examples[i].label for i in chosen.distractors} == {"no"}
    with pytest.raises(ConfigError, match="commands: no label go in the data; it has no, yes"):
        choose_clips(store, ["go"])


def test_the_truth_is_where_the_word_is_and_not_its_clip(store, data, noise, tmp_path):
    mix = write_mix(store, choose_clips(store), data, noise, tmp_path / "out", SETTINGS)
    recording, rate = soundfile.read(tmp_path / "out" / "recording.wav")
    assert (rate, len(recording)) == (RATE, 30 * RATE)
    assert soundfile.info(tmp_path / "out" / "recording.wav").subtype == "PCM_16"
    assert len(mix.words) == 10
    spectrum = np.abs(np.fft.rfft(recording.reshape(-1, 160), axis=1))  # of each 10 ms
    is_tone = spectrum[:, 7] > 0.4 * spectrum[:, 7].max()  # 700 Hz
    for word in mix.words:
        # smoothed by frames of 20 ms
        assert word.end_s - word.start_s == pytest.approx(0.3, abs=0.05)
        first, last = round(word.start_s * 100), round(word.end_s * 100)
        assert is_tone[first + 4 : last - 4].all()
        assert not is_tone[first - 20 : first - 4].any()
        assert not is_tone[last + 4 : last + 20].any()


def test_clips_keep_apart(store, data, noise, tmp_path):
    settings = dataclasses.replace(SETTINGS, words_per_minute=38.0)  # nearly full
    mix = write_mix(store, choose_clips(store), data, noise, tmp_path / "out", settings)
    starts = np.array([word.start_s for word in mix.words])
    assert len(starts) == 19
    assert (np.diff(starts) >= 1 + GAP_S - 0.02).all()  # a clip of a second, and the pause
    with pytest.raises(ConfigError, match=r"do not fit into 0\.5 minutes"):
        full = dataclasses.replace(SETTINGS, words_per_minute=42.0)
        write_mix(store, choose_clips(store), data, noise, tmp_path / "full", full)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
def test_the_word_is_as_much_louder_as_was_asked(tone, snr_db):
    background = 0.01 * np.random.default_rng(2).standard_normal(RATE).astype(np.float32)
    background[RATE // 2 :] *= 10  # what counts is the background behind the word
    clip = planted(tone, first_s=0.1)
    word = add_word(background, clip, RATE, snr_db) - background
    inside = slice(round(0.12 * RATE), round(0.38 * RATE))
    power, noise_power = (float(np.mean(np.square(x[inside]))) for x in (word, background))
    assert 10 * np.log10(power / noise_power) == pytest.approx(snr_db, abs=0.4)


def test_the_same_seed_makes_the_same_recording(store, data, noise, tmp_path):
    def files(name, seed):
        settings = dataclasses.replace(SETTINGS, seed=seed)
        write_mix(store, choose_clips(store), data, noise, tmp_path / name, settings)
        return {path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())}

    first = files("a", 1)
    assert set(first) == {"recording.wav", "truth.csv", "truth.txt"}
    assert first == files("b", 1)
    other = files("c", 2)
    assert all(first[name] != other[name] for name in first)


def test_distractors_are_mixed_in_and_not_in_the_truth(store, data, noise, tmp_path):
    chosen = choose_clips(store, ["yes"])
    with_others = dataclasses.replace(SETTINGS, words_per_minute=4.0, distractors_per_minute=10.0)
    mix = write_mix(store, chosen, data, noise, tmp_path / "out", with_others)
    assert ({word.label for word in mix.words}, len(mix.words), mix.n_distractors) == (
        {"yes"},
        2,
        5,
    )
    recording, _ = soundfile.read(tmp_path / "out" / "recording.wav")
    energy = np.square(recording).reshape(-1, 1_600).mean(axis=1)
    loud = energy > 3 * np.median(energy)
    assert (np.diff(loud.astype(int)) == 1).sum() == 7
    with pytest.raises(ConfigError, match="distractors_per_minute: the data has no held-out word"):
        write_mix(store, choose_clips(store), data, noise, tmp_path / "none", with_others)


def test_memory_does_not_grow_with_the_recording(store, data, noise, tmp_path, monkeypatch):
    """Pieces stay as short as a block or a clip, cuts of background as a cut."""
    lengths = []
    real = mixing.to_pcm
    monkeypatch.setattr(mixing, "to_pcm", lambda s: lengths.append(len(s)) or real(s))
    ten = dataclasses.replace(SETTINGS, minutes=2.0)
    write_mix(store, choose_clips(store), data, noise, tmp_path / "out", ten)
    assert sum(lengths) == 120 * RATE
    assert max(lengths) == RATE


def test_there_is_no_step_from_one_cut_to_the_next(tmp_path, write_wav, tone):
    path = write_wav(tmp_path / "hum.wav", tone(50, 3.03, amplitude=0.1))
    background = Background([path], RATE, -6.0, np.random.default_rng(0))
    pieces = [background.read(n) for n in (1, 50_000, 0, 300_000)]
    assert [len(piece) for piece in pieces] == [1, 50_000, 0, 300_000]
    samples = np.concatenate(pieces)
    steepest = 0.1 * 2 * np.pi * 50 / RATE
    assert np.abs(np.diff(samples)).max() < 2 * steepest  # a cut would be a step of up to 0.2
    assert np.abs(samples[-RATE:]).max() > 0.05


def test_a_loud_background_is_brought_down_and_a_faint_one_left(tmp_path, write_wav, tone):
    loud = write_wav(tmp_path / "loud.wav", tone(400, 4, amplitude=0.9))
    faint = write_wav(tmp_path / "faint.wav", tone(400, 4, amplitude=0.01))
    levels = [
        np.sqrt(
            np.mean(np.square(Background([p], RATE, -30.0, np.random.default_rng(0)).read(RATE)))
        )
        for p in (loud, faint)
    ]
    np.testing.assert_allclose(levels, [10 ** (-30 / 20), 0.01 / np.sqrt(2)], rtol=0.02)


def test_a_background_whose_length_is_not_told(tmp_path, tone):
    """Two recordings in one file, as of a recorder that was stopped in between."""
    parts = []
    for name in ("a.ogg", "b.ogg"):
        soundfile.write(tmp_path / name, tone(400, 2, amplitude=0.1), RATE)
        parts.append((tmp_path / name).read_bytes())
    (tmp_path / "both.ogg").write_bytes(b"".join(parts))
    background = Background([tmp_path / "both.ogg"], RATE, -6.0, np.random.default_rng(0))
    level = np.sqrt(np.mean(np.square(background.read(RATE))))
    assert level == pytest.approx(0.1 / np.sqrt(2), rel=0.05)


def test_what_was_mended_in_a_background_is_told(store, data, tmp_path, tone):
    path, hum = tmp_path / "two.wav", tone(400, 4, amplitude=0.1)
    soundfile.write(path, np.stack([hum, 0 * hum], axis=1), RATE)
    mix = write_mix(store, choose_clips(store), data, [path], tmp_path / "out", SETTINGS)
    assert mix.warnings == (f"{path}: channel 2 is empty; it is left out of the mean",)


def test_what_cannot_be_mixed_is_refused(store, data, noise, tmp_path, write_wav):
    chosen = MixClips("test", [0], [], ("no",))
    out = tmp_path / "out"
    short = write_wav(tmp_path / "short.wav", np.zeros(100, dtype=np.float32))
    with pytest.raises(AudioError, match=r"short\.wav: shorter than 0\.1 s"):
        write_mix(store, chosen, data, [short], out, SETTINGS)
    assert not out.exists()
    write_mix(store, chosen, data, noise, out, SETTINGS)
    with pytest.raises(DatasetError, match=r"recording\.wav: exists"):
        write_mix(store, chosen, data, noise, out, SETTINGS)
    with pytest.raises(ConfigError, match="minutes: 0 is not possible"):
        MixSettings(minutes=0)
