"""Clips of synthetic speech and their bytes, and the errors in what may be asked for."""

from itertools import combinations

import numpy as np
import pytest
import soundfile

from speechcls.errors import AudioError, ConfigError, DatasetError
from speechcls.layouts.load import load_dataset
from speechcls.synthesis.espeak import EspeakSynthesiser, make_voices, synthesise

pytest.importorskip(
    "espeakng_loader", reason="espeak-ng is optional: pip install 'speechcls[synth]'"
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Eight voices that say three words; a folder."""
    folder = tmp_path_factory.mktemp("synth") / "data"
    synthesise(["yes", "no", "turn on"], folder, per_word=8)
    return folder


def read_folder(folder):
    """Bytes of each file by its name below the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def read_word(path):
    """A clip without its silences, its peak at 1."""
    samples = np.trim_zeros(soundfile.read(path, dtype="float32")[0])
    return samples / np.abs(samples).max()


def differ(one, other):
    """Whether two words are not the same but for rounding."""
    return one.size != other.size or np.abs(one - other).max() > 0.05


def fail_for(monkeypatch, wrong, outcome):
    """Let EspeakSynthesiser.speak give outcome(samples) where wrong(text, voice)."""
    speak = EspeakSynthesiser.speak

    def stand_in(self, text, voice):
        samples = speak(self, text, voice)
        return outcome(samples) if wrong(text, voice) else samples

    monkeypatch.setattr(EspeakSynthesiser, "speak", stand_in)


def silence(samples):
    return np.zeros_like(samples)


def failure(samples):
    raise AudioError("broken")


def test_clips_are_16_khz_mono_pcm16_words_between_short_silences(clips):
    paths = sorted(clips.glob("*/*"))
    assert len(paths) == 24
    leads, peaks = set(), []
    for path in paths:
        info = soundfile.info(path)
        assert (info.samplerate, info.channels) == (16_000, 1)
        assert (info.format, info.subtype) == ("WAV", "PCM_16")
        assert 0.2 < info.duration < 2
        samples, _ = soundfile.read(path, dtype="float32")
        loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
        assert 800 <= loud[0] <= 3_200  # 50 to 200 ms
        assert 800 <= samples.size - 1 - loud[-1] <= 1_600  # 50 to 100 ms
        leads.add(loud[0])
        peaks.append(np.abs(samples).max())
    assert 0.099 < min(peaks) < 0.3 < 0.6 < max(peaks) < 0.9
    assert len(leads) > 20


def test_the_same_voices_say_all_words_and_the_reader_takes_them_for_speakers(clips):
    voices = make_voices(8, "en", seed=0)
    examples = load_dataset(clips).examples
    assert {example.label for example in examples} == {"yes", "no", "turn on"}
    for label in ("yes", "no", "turn on"):
        speakers = [example.speaker for example in examples if example.label == label]
        assert sorted(speakers) == sorted(voice.name for voice in voices)


def test_no_two_clips_are_the_same_whatever_their_silences_and_level(clips):
    for one, other in combinations(sorted(clips.glob("*/*")), 2):
        assert differ(read_word(one), read_word(other)), (one, other)


def test_a_written_word_is_the_spoken_one_at_16_khz(clips, speaker):
    for voice in make_voices(4, "en", seed=0):
        spoken = speaker.speak("yes", voice)
        loud = np.flatnonzero(np.abs(spoken) > 0.01 * np.abs(spoken).max())
        duration_s = (loud[-1] + 1 - loud[0]) / speaker.sample_rate
        written = read_word(clips / "yes" / f"{voice.name}_nohash_0.wav")
        assert written.size / 16_000 == pytest.approx(duration_s, abs=0.005)


def test_the_same_seed_gives_the_same_bytes_whatever_else_was_asked_for(tmp_path, clips):
    synthesise(["down", "no", "yes"], tmp_path / "other", per_word=9)
    other, files = read_folder(tmp_path / "other"), read_folder(clips)
    shared = files.keys() & other.keys()
    assert len(shared) == 16
    assert all(files[name] == other[name] for name in shared)
    synthesise(["yes", "no", "turn on"], tmp_path / "again", per_word=8)
    assert read_folder(tmp_path / "again") == files


def test_another_seed_gives_other_bytes(tmp_path, clips):
    synthesise(["yes"], tmp_path, per_word=8, seed=1)
    assert not set(read_folder(tmp_path).values()) & set(read_folder(clips).values())


def test_more_clips_than_voices_are_further_takes_that_sound_a_little_different(tmp_path):
    result = synthesise(["ja"], tmp_path, per_word=168, language="de")
    voices = make_voices(None, "de", seed=0)
    takes = [(voice, take) for take in range(3) for voice in voices][:168]
    names = sorted(f"{voice.name}_nohash_{take}.wav" for voice, take in takes)
    assert sorted(path.name for path in (tmp_path / "ja").iterdir()) == names
    assert (result.n_written, result.skipped) == (168, [])
    words = [
        read_word(tmp_path / "ja" / f"{voices[0].name}_nohash_{take}.wav") for take in range(3)
    ]
    assert all(differ(one, other) for one, other in combinations(words, 2))


def test_prosody_of_every_take_stays_in_the_range_of_espeak(tmp_path, monkeypatch):
    spoken = []

    def speak(self, text, voice):
        spoken.append(voice)
        return np.ones(4_000, np.float32)

    monkeypatch.setattr(EspeakSynthesiser, "speak", speak)
    synthesise(["ja"], tmp_path, per_word=415, language="de")
    assert 0 <= min(voice.pitch for voice in spoken) < 15
    assert 85 < max(voice.pitch for voice in spoken) <= 99
    assert min(voice.pitch_range for voice in spoken) >= 0
    assert max(voice.pitch_range for voice in spoken) <= 100
    assert min(voice.rate_wpm for voice in spoken) >= 80
    assert max(voice.rate_wpm for voice in spoken) <= 450


@pytest.mark.parametrize(("outcome", "reason"), [(silence, "silent"), (failure, "broken")])
def test_a_voice_that_fails_is_skipped_counted_and_replaced(tmp_path, monkeypatch, outcome, reason):
    voices = make_voices(5, "en", seed=0)
    fail_for(monkeypatch, lambda text, voice: (text, voice) == ("no", voices[0]), outcome)
    result = synthesise(["yes", "no"], tmp_path, per_word=4)
    assert result.n_written == 8
    assert result.skipped == [f"no: {voices[0].name}: {reason}"]
    for word, indices in (("yes", [0, 1, 2, 3]), ("no", [1, 2, 3, 4])):
        names = {f"{voices[index].name}_nohash_0.wav" for index in indices}
        assert {path.name for path in (tmp_path / word).iterdir()} == names


def test_a_word_that_no_voice_can_say_is_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match=r"^✓: no voice of de can speak it; change its spelling$"):
        synthesise(["ja", "✓"], tmp_path / "data", per_word=2, language="de")
    assert not (tmp_path / "data").exists()


def test_progress_is_reported_once_a_clip(tmp_path):
    counts = []
    synthesise(
        ["yes", "no"], tmp_path, 3, on_clip=lambda: counts.append(len(read_folder(tmp_path)))
    )
    assert counts == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("word", ["größer", "turn on", "don't", "3"])
def test_a_new_or_empty_folder_has_the_name_of_the_word(tmp_path, word):
    if word == "3":
        (tmp_path / word).mkdir()
    synthesise([word], tmp_path, per_word=1)
    assert [path.parent.name for path in tmp_path.glob("*/*")] == [word]


@pytest.mark.parametrize(
    "word",
    [
        "",
        " ",
        "a/b",
        "a\\b",
        "..",
        ".a",
        "a.",
        " a",
        "a ",
        "_a",
        "what?",
        "a\nb",
        "\ud800",
        "x" * 201,
    ],
)
def test_a_word_that_cannot_name_a_folder(tmp_path, word):
    with pytest.raises(ConfigError, match="cannot name a folder; spell it in letters") as caught:
        synthesise(["yes", word], tmp_path, per_word=1)
    assert str(caught.value).startswith(f"{word!r}: ")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("first", "second"), [("yes", "yes"), ("Yes", "yes"), ("größer", "gro\u0308ßer")]
)
def test_a_word_given_twice(tmp_path, first, second):
    with pytest.raises(ConfigError, match=rf"^{second}: given twice \(as {first}\); leave one out"):
        synthesise([first, "no", second], tmp_path, per_word=1)
    assert not any(tmp_path.iterdir())


def test_other_words_are_spoken_by_the_same_voices(clips, tmp_path):
    synthesise(["yes", "no", "_unknown_"], tmp_path / "one", per_word=8)
    other = sorted((tmp_path / "one" / "_unknown_").iterdir())
    assert [path.name for path in other] == [
        path.name for path in sorted((clips / "yes").iterdir())
    ]
    words = [read_word(path) for path in other]
    assert all(differ(*pair) for pair in combinations(words, 2))
    own = [read_word(path) for word in ("yes", "no") for path in sorted((clips / word).iterdir())]
    assert all(differ(word, each) for word in words for each in own)
    same = read_folder(tmp_path / "one")
    assert {name: same[name] for name in same if name.startswith("yes/")} == {
        name: data for name, data in read_folder(clips).items() if name.startswith("yes/")
    }


def test_other_words_that_come_later_are_none_of_those_that_are_there(tmp_path, monkeypatch):
    synthesise(["yes", "no", "_unknown_"], tmp_path / "together", per_word=6)
    synthesise(["yes", "no"], tmp_path / "later", per_word=6)
    spoken, speak = [], EspeakSynthesiser.speak

    def listen(self, text, voice):
        spoken.append(text)
        return speak(self, text, voice)

    monkeypatch.setattr(EspeakSynthesiser, "speak", listen)
    synthesise(["_unknown_"], tmp_path / "later", per_word=6)
    assert read_folder(tmp_path / "together") == read_folder(tmp_path / "later")
    assert not {"yes", "no", "_unknown_"} & set(spoken)
    assert len(set(spoken)) == 6


@pytest.mark.parametrize("per_word", [0, -1])
def test_too_few_clips(tmp_path, per_word):
    with pytest.raises(
        ConfigError, match=rf"^per_word: {per_word} is not possible; ask for at least 1$"
    ):
        synthesise(["yes"], tmp_path, per_word)


def test_a_folder_with_clips_is_left_as_it_is(tmp_path):
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "mine.wav").write_bytes(b"precious")
    with pytest.raises(ConfigError) as caught:
        synthesise(["yes", "no"], tmp_path, per_word=1)
    expected = f"{tmp_path / 'no'}: exists already; choose another path"
    assert str(caught.value) == expected
    assert read_folder(tmp_path) == {"no/mine.wav": b"precious"}


def test_a_clip_that_cannot_be_written_leaves_no_part_of_it(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(DatasetError, match=r"_nohash_0\.wav: cannot be written \(no space left"):
        synthesise(["yes"], tmp_path, per_word=1)
    assert read_folder(tmp_path) == {}


def test_out_that_is_a_file(tmp_path):
    (out := tmp_path / "data").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"cannot be written .*; choose another path$"):
        synthesise(["yes"], out, per_word=1)
