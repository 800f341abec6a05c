"""The library's classifier: what it takes for a clip, many of them, and how it prints."""

import io
import itertools

import numpy as np
import pytest
import soundfile
import torch

from speechcls import Classifier
from speechcls.audio.samples import resample
from speechcls.errors import AudioError, ConfigError, SpeechclsError
from speechcls.runtime.classifier import Prediction

RATE = 16_000


@pytest.fixture(scope="module")
def classifier():
    return Classifier.load("commands", jobs=2)


@pytest.fixture
def clips(tone):
    """Three clips that differ, the last one longer than the window."""
    return [tone(300, 0.5), tone(700), tone(1_100, 1.5, amplitude=0.1)]


def test_a_clip_as_path_stream_array_or_tensor(classifier, clips, tmp_path, write_wav):
    path = write_wav(tmp_path / "a.wav", clips[1], subtype="FLOAT")
    expected = classifier.predict(clips[1])
    assert classifier.predict(path) == classifier.predict(str(path)) == expected
    with path.open("rb") as stream:
        assert classifier.predict(stream) == expected
    assert classifier.predict(io.BytesIO(path.read_bytes())) == expected
    assert classifier.predict(torch.from_numpy(clips[1])) == expected
    pcm = soundfile.read(write_wav(tmp_path / "b.wav", clips[1]), dtype="int16")[0]
    assert classifier.predict(pcm) == classifier.predict(pcm.astype(np.float64) / 32_768)


@pytest.mark.parametrize("shape", [(1, RATE), (RATE, 1), (2, RATE), (RATE, 2), (1, 1, RATE), ()])
def test_an_array_that_is_not_one_clip_is_refused(shape, classifier):
    with pytest.raises(AudioError) as error:
        classifier.predict(np.zeros(shape, dtype=np.float32))
    assert f"shape {shape}" in str(error.value)
    assert ".mean(axis=1)" in str(error.value)
    assert ("predict_many" in str(error.value)) == (len(shape) == 2)


@pytest.mark.parametrize("clip", [3, None, [0.0, 0.1], b"a.wav", 0.5])
def test_what_is_no_clip_is_refused(clip, classifier):
    with pytest.raises(AudioError, match=f"{type(clip).__name__}: not a clip; give a path"):
        classifier.predict(clip)


def test_the_window_that_a_prediction_is_of(classifier, clips):
    short, exact, long = (classifier.predict(clip) for clip in clips)
    assert (short.start_s, short.clip_duration_s, short.is_part) == (0.0, 0.5, False)
    assert (exact.start_s, exact.clip_duration_s, exact.is_part) == (0.0, 1.0, False)
    louder = np.concatenate([0.01 * clips[2][: RATE // 4], clips[2]])
    part = classifier.predict(louder)
    assert part.is_part and part.clip_duration_s == 1.75 and 0.24 <= part.start_s <= 0.75
    assert long.is_part


def test_many_clips_give_the_predictions_of_each_in_order(classifier, clips, tmp_path, write_wav):
    path = write_wav(tmp_path / "a.wav", clips[0], subtype="FLOAT")
    refused = SpeechclsError("not even a name")
    given = [str(path), clips[1], path, refused, tmp_path / "absent.wav", clips[2], clips[2][None]]
    pairs = list(classifier.predict_many(iter(given)))
    assert [clip is mine for (clip, _), mine in zip(pairs, given, strict=True)] == [True] * 7
    outcomes = [outcome for _, outcome in pairs]
    for outcome, clip in zip([*outcomes[:3], outcomes[5]], [0, 1, 0, 2], strict=True):
        expected = classifier.predict(clips[clip])
        assert outcome.label == expected.label
        assert outcome.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        assert outcome.clip_duration_s == expected.clip_duration_s
    assert outcomes[3] is refused
    assert str(outcomes[4]) == f"{tmp_path / 'absent.wav'}: no such file; check the path"
    assert isinstance(outcomes[6], AudioError) and "shape (1, 24000)" in str(outcomes[6])


def test_a_window_has_the_same_bits_whatever_is_beside_it(classifier):
    noise = np.random.default_rng(0)
    loudness = 10 ** noise.uniform(-3, -0.5, (48, 1))
    windows = (loudness * noise.standard_normal((48, RATE))).clip(-1, 1).astype(np.float32)
    whole = classifier.probabilities(windows)
    for size in range(1, 9):
        parts = [classifier.probabilities(windows[i : i + size]) for i in range(0, 48, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    # ``predict_many`` takes what is there by then: one window now, several another time.
    alone = [next(classifier.predict_many([window]))[1] for window in windows]
    assert alone == [prediction for _, prediction in classifier.predict_many(windows)]


def test_a_batch_is_one_clip_a_row(classifier, clips):
    batch = np.stack([clips[1], clips[2][:RATE]])
    for given in (batch, torch.from_numpy(batch), list(batch)):
        labels = [prediction.label for _, prediction in classifier.predict_many(given)]
        assert labels == [classifier.predict(row).label for row in batch]
    assert list(classifier.predict_many(np.empty((0, RATE), np.float32))) == []


def test_arrays_of_another_rate(classifier, tone):
    at_8_khz = tone(300, rate=8_000)
    [(_, prediction)] = classifier.predict_many([at_8_khz], sample_rate=8_000)
    assert prediction.clip_duration_s == pytest.approx(1.0)
    resampled = resample(at_8_khz, 8_000, RATE)
    assert [prediction] == [same for _, same in classifier.predict_many([resampled])]
    assert classifier.predict(at_8_khz, sample_rate=8_000) == classifier.predict(resampled)


def test_one_clip_is_not_many(classifier, tmp_path):
    for clip in ("a.wav", tmp_path / "a.wav", io.BytesIO()):
        with pytest.raises(AudioError, match="one clip, not several: give it to predict"):
            classifier.predict_many(clip)
    for shape in ((RATE,), (1, 2, RATE)):
        with pytest.raises(AudioError, match=r"a batch is \(batch, n_samples\)"):
            classifier.predict_many(np.zeros(shape, np.float32))


def test_a_stream_is_called_by_its_name(classifier, tmp_path):
    class Named(io.BytesIO):
        name = "-"

    (tmp_path / "a.wav").write_bytes(b"\x80 no audio")
    for stream, name in ((Named(b"x"), "-"), (io.BytesIO(b"x"), "stream")):
        [(_, error)] = classifier.predict_many([stream])
        assert str(error).startswith(f"{name}: not readable audio")
    with (tmp_path / "a.wav").open("rb") as file, pytest.raises(AudioError) as error:
        classifier.predict(file)
    assert str(error.value).startswith(f"{tmp_path / 'a.wav'}: not readable audio")


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_an_impossible_threshold_is_refused_at_once(threshold, classifier):
    with pytest.raises(ConfigError, match=r"^threshold: .* is not possible; it must be in 0 .. 1"):
        classifier.predict_many([], threshold=threshold)
    with pytest.raises(ConfigError, match=r"^threshold: "):
        classifier.predict(np.zeros(RATE, np.float32), threshold=threshold)


def test_endless_clips_are_read_as_they_are_asked_for(classifier, clips):
    n_taken = itertools.count()
    endless = (clips[0] for _ in n_taken)
    pairs = classifier.predict_many(endless)
    for _ in range(5):
        next(pairs)
    pairs.close()
    assert next(n_taken) < 1_000


def test_what_is_printed_is_short(classifier):
    assert repr(classifier).endswith("models/commands', 10 labels, 1 s at 16000 Hz)")
    assert repr(classifier).startswith("Classifier('")
    prediction = Prediction("yes", 0.91239, dict.fromkeys("abc", 0.1))
    assert repr(prediction) == "Prediction(label='yes', probability=0.9124)"
    part = Prediction("yes", 0.5, {"yes": 0.5}, 1.25, 3.0, True)
    assert repr(part) == "Prediction(label='yes', probability=0.5000, start_s=1.25)"


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_impossible_rates_are_refused(rate):
    classifier = Classifier.load("commands", jobs=1)
    with pytest.raises(ConfigError, match="sample_rate"):
        classifier.predict(np.zeros(100, dtype=np.float32), sample_rate=rate)


def test_impossible_numbers_of_threads_are_refused():
    with pytest.raises(ConfigError, match="jobs: -3 is not possible"):
        Classifier.load("commands", jobs=-3)


def test_a_prediction_carries_what_was_mended_in_reading(classifier, tmp_path, tone):
    word, path = tone(440.0), tmp_path / "a.wav"
    soundfile.write(path, np.stack([word, -word], 1), 16_000, "FLOAT")
    prediction = classifier.predict(path)
    note = "channels cancel out; channel 1 is used: name another if it is the wrong one"
    assert prediction.notes == (note,)
    assert classifier.read_window(path).notes == (note,)
    [(_, same)] = classifier.predict_many([path])
    assert same.notes == (note,)
    assert prediction.probabilities == classifier.predict(word).probabilities
    second = classifier.predict(path, channel=2)
    assert second.notes == ()
    assert second.probabilities == classifier.predict(-word).probabilities
    [(_, error)] = classifier.predict_many([path], channel=3)
    assert str(error) == f"{path}: has no channel 3; name one of 1 to 2"
