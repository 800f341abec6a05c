"""``speechcls record`` from files and pipes."""

import sys

import numpy as np
import pytest
import soundfile

RATE = 16_000
SAID = [(0.6, "low"), (1.8, "high"), (3.1, "low")]


@pytest.fixture
def words(make_running, tmp_path):
    path = tmp_path / "words.wav"
    soundfile.write(path, make_running(SAID, 4.5), RATE)
    return path


def test_each_utterance_of_a_file_is_a_take(words, tmp_path, call):
    options = ("record", "yes", "--from", words, "--speaker", "ann", "--out", tmp_path / "data")
    first = call(*options)
    assert first.code == 0, first.stderr
    folder = tmp_path / "data" / "yes"
    assert first.stdout.splitlines() == [str(folder / f"ann_nohash_{n}.wav") for n in range(3)]
    before = [(folder / f"ann_nohash_{n}.wav").read_bytes() for n in range(3)]
    sound, _ = soundfile.read(words)
    for n, (start_s, _) in enumerate(SAID):
        samples, rate = soundfile.read(folder / f"ann_nohash_{n}.wav")
        assert (rate, len(samples)) == (RATE, RATE)
        # the quarter of a second of the word is in the middle
        begin = round((start_s + 0.125 - 0.5) * RATE)
        assert np.argmax(np.correlate(sound, samples[4_000:12_000])) == pytest.approx(
            begin + 4_000, abs=250
        )
    again = call(*options, "--takes", "2", "--duration", "0.5")
    assert [line[-5] for line in again.stdout.splitlines()] == ["3", "4"]
    assert [(folder / f"ann_nohash_{n}.wav").read_bytes() for n in range(3)] == before
    assert soundfile.info(folder / "ann_nohash_4.wav").frames == RATE // 2


def test_a_pipe_does_as_well(words, make_running, tmp_path, call, run):
    options = ("--speaker", "ann", "--out")
    raw = (make_running(SAID, 4.5) * 32_768).astype("<i2").tobytes()
    for name, content in (("raw", raw), ("wav", words.read_bytes())):
        result = run("record", "yes", "-", *options, tmp_path / name, stdin=content)
        assert (result.code, len(result.rows)) == (0, 3), result.stderr


def test_what_is_clipped_faint_or_long_is_left_for_the_next(make_running, tmp_path, call):
    sound = make_running([(0.6, "low"), (2.0, "high"), (3.5, "low"), (5.0, "low")], 9.0)
    parts = [slice(round(a * RATE), round((a + 0.4) * RATE)) for a in (0.5, 1.9)]
    sound[parts[0]] = np.clip(40 * sound[parts[0]], -1, 1)
    sound *= np.where(np.arange(len(sound)) < 1.6 * RATE, 1.0, 0.3)
    sound[round(6.5 * RATE) : round(7.9 * RATE)] += 0.1
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    options = ("--speaker", "ann", "--out", tmp_path / "data")
    result = call("record", "yes", "--from", tmp_path / "a.wav", *options, "--takes", "2")
    assert result.code == 0
    assert len(result.rows) == 2
    assert [line for line in result.stderr.splitlines() if "warning" in line] == [
        "speechcls: warning: the word at 0.5 s is clipped; speak softer or turn the microphone"
        " down; not written"
    ]
    more = call("record", "yes", "--from", tmp_path / "a.wav", *options, "--takes", "4")
    assert more.code == 1
    assert "4 clips were asked for, 5 utterances were found" in more.errors[0]
    assert "1.4 s long" in more.stderr
    assert "speechcls: --duration 1.5 takes longer words, up to 1.5 s\n" in more.stderr
    assert "--duration" not in result.stderr


def test_one_word_at_a_time(words, tmp_path, call):
    result = call("record", "lights", "on", "--from", words, "--out", tmp_path / "data")
    assert (result.code, result.stdout) == (2, "")
    assert result.errors == [
        "'on': one label at a time; put quotes around one of several words, and give - for sound"
        " on stdin"
    ]


def test_without_a_microphone_it_says_what_else_there_is(tmp_path, call, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = call("record", "yes", "--out", tmp_path / "data")
    assert result.code == 2
    [error] = result.errors
    assert error.startswith("sounddevice is not installed; run pip install 'speechcls[mic]', or")
    assert error.endswith(
        "or name a recording with --from, or pipe sound in: arecord -f S16_LE -r 16000 |"
        " speechcls record LABEL -"
    )


def test_silence_gives_no_take(tmp_path, call):
    soundfile.write(tmp_path / "a.wav", np.zeros(2 * RATE), RATE)
    result = call("record", "yes", "--from", tmp_path / "a.wav", "--out", tmp_path / "data")
    assert (result.code, result.stdout) == (1, "")
    assert not (tmp_path / "data").exists()


def test_names_that_are_none_are_refused_before_anything_is_heard(tmp_path, words, call):
    for label, speaker in (("../x", "ann"), ("yes", "a/b")):
        options = ("--speaker", speaker, "--out", tmp_path / "data")
        result = call("record", label, "--from", words, *options)
        assert (result.code, result.stdout) == (2, "")
    assert not (tmp_path / "data").exists()


def test_train_reads_what_was_recorded(make_running, tmp_path, call):
    from speechcls.layouts.load import load_dataset

    for label in ("low", "high"):
        for speaker in ("ann", "bob"):
            soundfile.write(tmp_path / "a.wav", make_running([(0.6, label)], 2.0), RATE)
            options = ("--speaker", speaker, "--out", tmp_path / "data")
            assert call("record", label, "--from", tmp_path / "a.wav", *options).code == 0
    found = load_dataset(tmp_path / "data").examples
    assert sorted((e.label, e.speaker) for e in found) == [
        *(("high", "ann"), ("high", "bob"), ("low", "ann"), ("low", "bob"))
    ]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize(("amplitude", "limit", "n_written"), [(1.5, 0.9, 0), (0.8, 1.0, 1)])
def test_what_is_clipped_at_the_rate_of_the_source_is_left_out(
    rate, amplitude, limit, n_written, tmp_path, call, tone, write_wav
):
    word = np.clip(tone(300, 0.5, rate, amplitude), -limit, limit)
    pause = np.zeros(rate, dtype=np.float32)
    wav = write_wav(tmp_path / "a.wav", np.concatenate([pause, word, pause]), rate)
    result = call("record", "yes", "--speaker", "ann", "--from", wav, "--out", tmp_path / "out")
    assert len(list(tmp_path.glob("out/yes/*.wav"))) == n_written, result.stderr
    assert ("is clipped" in result.stderr) == (n_written == 0)
