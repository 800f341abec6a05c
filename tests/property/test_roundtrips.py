"""Round trips through files: settings, weights, rows of splits, samples."""

import dataclasses
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from speechcls.artifact.format import Artifact, SplitRow
from speechcls.artifact.store import load_artifact, load_split, load_weights, save_artifact
from speechcls.audio.samples import fit_length, loudest_start, to_pcm
from speechcls.config import (
    FEATURE_KINDS,
    READOUTS,
    RECIPE_NAMES,
    DataConfig,
    FeatureConfig,
    NetworkConfig,
    TrainConfig,
)
from speechcls.data.splits import hash_percentage

few = settings(max_examples=30, deadline=None)
many = settings(max_examples=100, deadline=None)

# Names as the system hands them over: text, or bytes that are none, but no NUL.
names = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    st.binary(max_size=8).map(lambda raw: os.fsdecode(raw.replace(b"\0", b""))),
)
positive = st.floats(1e-6, 1e6)
shares = st.floats(0, 1, exclude_max=True)


@pytest.fixture(scope="module", autouse=True)
def no_fsync():
    """Waiting for the disk is not what these tests are about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@st.composite
def feature_configs(draw):
    """Any possible FeatureConfig."""
    sample_rate = draw(st.integers(100, 200_000))
    hop_length = draw(st.integers(1, 2_000))
    n_fft, n_mels = draw(st.integers(1, 4_096)), draw(st.integers(1, 256))
    fmax = draw(st.floats(1.0, sample_rate / 2))
    return FeatureConfig(
        kind=draw(st.sampled_from(list(FEATURE_KINDS))),
        sample_rate=sample_rate,
        duration_s=draw(st.floats((hop_length + 1) / sample_rate, 100.0)),
        n_fft=n_fft,
        win_length=draw(st.integers(1, n_fft)),
        hop_length=hop_length,
        n_mels=n_mels,
        n_mfcc=draw(st.integers(1, n_mels)),
        fmin=draw(st.floats(0, fmax, exclude_max=True)),
        fmax=fmax,
        relative=draw(st.booleans()),
        range_db=draw(positive),
        power_floor=draw(positive),
    )


network_configs = st.builds(
    NetworkConfig,
    arch=st.text(max_size=10),
    hidden_size=st.integers(1, 10**6),
    num_layers=st.integers(1, 100),
    dropout=shares,
    readout=st.sampled_from(READOUTS),
)
# Decibels in order: the faintest noise is never louder than the loudest.
levels = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=2).map(sorted)
train_configs = st.builds(
    lambda snr_db, **values: TrainConfig(snr_low_db=snr_db[0], snr_high_db=snr_db[1], **values),
    snr_db=levels,
    recipe=st.sampled_from(RECIPE_NAMES),
    epochs=st.integers(1, 10**9),
    batch_size=st.integers(1, 10**9),
    lr=positive,
    weight_decay=st.floats(0, 1e6),
    warmup_ratio=shares,
    max_grad_norm=positive,
    label_smoothing=shares,
    ema_decay=shares,
    patience=st.integers(1, 10**9),
    unknown_ratio=positive,
    silence_ratio=positive,
    scramble_ratio=st.floats(0, 1e6),
    n_spoken=st.integers(0, 10**9),
    speed_max=shares,
    shift_max=shares,
    equaliser_prob=st.floats(0, 1),
    equaliser_db=st.floats(0, 1e3),
    reverb_prob=st.floats(0, 1),
    noise_prob=st.floats(0, 1),
    gain_db=st.floats(0, 1e3),
    time_masks=st.integers(0, 100),
    time_mask_max=shares,
    frequency_masks=st.integers(0, 100),
    frequency_mask_max=shares,
    seed=st.integers(0, 2**63 - 1),
)
some_names = st.lists(st.text(max_size=5), max_size=3).map(tuple)
data_configs = st.builds(
    DataConfig,
    commands=some_names,
    test_speakers=some_names,
    pattern=st.none() | st.text(max_size=10),
    noise=st.none() | st.text(max_size=10),
    max_bad=st.floats(0, 1),
)
split_rows = st.builds(
    SplitRow,
    path=names,
    label=names,
    speaker=names,
    split=st.sampled_from(["train", "validation", "test", "unused"]),
    start_s=st.floats(0, 1e6),
    end_s=st.none() | st.floats(0, 1e6),
    gain=st.floats(0, 1),
    digest=st.text("0123456789abcdef", min_size=20, max_size=20),
)
# Little-endian, as safetensors keeps them; any layout in memory.
some_weights = st.dictionaries(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=9),
    arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=32),  # others are refused
    ),
    max_size=4,
)
layouts = st.sampled_from(
    [
        lambda array: array,
        np.asfortranarray,
        np.transpose,
        np.flip,
        lambda array: np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array,
    ]
)


def save(folder, **parts):
    """Write an artifact of which only the given parts matter; return it."""
    artifact = Artifact(
        Path(folder, "model"),
        parts.get("features", FeatureConfig()),
        parts.get("network", NetworkConfig()),
        parts.get("labels", ("no", "yes")),
        parts.get("words", parts.get("labels", ("no", "yes"))),
    )
    save_artifact(artifact, parts.get("weights", {}), b"graph", {}, parts.get("split", []))
    return artifact


@many
@given(st.one_of(feature_configs(), network_configs, train_configs, data_configs))
def test_a_configuration_survives_json(config):
    values = json.loads(json.dumps(config.to_dict()))
    assert type(config).from_dict(values) == config
    assert values == json.loads(json.dumps(dataclasses.asdict(config)))


@many
@given(feature_configs())
def test_a_window_holds_its_frames(config):
    # Frame i stands at sample i * hop_length: the last one within the window, the next beyond.
    assert (config.n_frames - 1) * config.hop_length <= config.n_samples
    assert config.n_frames * config.hop_length > config.n_samples
    assert abs(config.n_samples - config.duration_s * config.sample_rate) <= 0.5


@few
@given(feature_configs(), network_configs)
def test_an_artifact_keeps_its_configuration(features, network):
    with tempfile.TemporaryDirectory() as folder:
        saved = save(folder, features=features, network=network)
        assert load_artifact(saved.path) == saved


@few
@given(st.lists(names, min_size=2, max_size=6, unique=True))
@example(["yes", os.fsdecode(b"ye\xff")])
@example(["はい", "Ω\u2028\r\n"])
def test_an_artifact_keeps_its_labels(labels):
    with tempfile.TemporaryDirectory() as folder:
        saved = save(folder, labels=tuple(labels))
        assert load_artifact(saved.path).labels == tuple(labels)


@few
@given(st.lists(names, min_size=2, max_size=8, unique=True), st.data())
@example(["yes", "_unknown_", os.fsdecode(b"ye\xff")], None)
def test_an_artifact_keeps_its_words(words, data):
    n_labels = data.draw(st.integers(2, len(words))) if data else 2
    # Words that are no labels count as unknown ones.
    labels = tuple(dict.fromkeys([*words[:n_labels], *(["_unknown_"] * (n_labels < len(words)))]))
    words = tuple(dict.fromkeys([*words, *labels]))
    with tempfile.TemporaryDirectory() as folder:
        saved = save(folder, labels=labels, words=words)
        assert load_artifact(saved.path) == saved


@few
@given(st.lists(split_rows, max_size=5))
def test_an_artifact_keeps_which_clip_did_what(rows):
    with tempfile.TemporaryDirectory() as folder:
        assert load_split(save(folder, split=rows)) == rows


@pytest.mark.parametrize(
    "name",
    [
        "a,b;c\td.wav",
        'say "yes".wav',
        "'=1+1.wav",
        " space around .wav ",
        "new\nline.wav",
        "carriage\rreturn.wav",
        "both\r\n.wav",
        "はい.wav",
        "\u2028\u0085.wav",
        "\ufeffmark.wav",
        os.fsdecode(b"\xff\xfe.wav"),
        "",
    ],
)
def test_rows_of_odd_names_come_back(name, tmp_path):
    rows = [
        SplitRow(name, "yes", name, "train", 0.1, None, 1.0, "ab" * 10),
        SplitRow("second.wav", name, "", "test", 1 / 3, 2 / 3, 0.031623, "cd" * 10),
    ]
    assert load_split(save(tmp_path, split=rows)) == rows


@few
@given(some_weights, layouts)
def test_weights_come_back_bit_for_bit_whatever_their_layout(weights, layout):
    laid_out = {name: layout(array) for name, array in weights.items()}
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_weights(save(folder, weights=laid_out))
    assert loaded.keys() == laid_out.keys()
    for name, array in laid_out.items():
        assert loaded[name].dtype == np.float32
        assert loaded[name].shape == array.shape
        # Bytes, so that NaN equals itself and zero does not equal minus zero.
        assert loaded[name].tobytes() == array.tobytes()


@many
@given(names)
@example("")
@example("\udcff")
def test_a_percentage_is_one(key):
    assert 0.0 <= hash_percentage(key) <= 100.0


@many
@given(arrays.arrays(np.int16, st.integers(0, 100)))
def test_16_bit_samples_survive_floats(pcm):
    assert np.array_equal(to_pcm(pcm.astype(np.float32) / np.float32(32_768)), pcm)


@many
@given(arrays.arrays(np.float32, st.integers(0, 50), elements=st.floats(-2, 2, width=32)))
def test_pcm_is_off_by_half_a_step_at_most_or_clips(samples):
    steps = samples.astype(np.float64) * 32_768
    assert np.abs(to_pcm(samples) - np.clip(steps, -32_768, 32_767)).max(initial=0.0) <= 0.5


@many
@given(arrays.arrays(np.int16, st.integers(0, 30)), st.integers(1, 40))
def test_a_window_is_the_loudest_of_all(pcm, n_samples):
    window = fit_length(pcm, n_samples)
    energy = np.square(window.astype(np.int64)).sum()
    assert len(window) == n_samples
    if len(pcm) <= n_samples:
        start = (n_samples - len(pcm)) // 2
        assert window.tolist() == [
            *[0] * start,
            *pcm.tolist(),
            *[0] * (n_samples - len(pcm) - start),
        ]
        return
    energies = [
        np.square(pcm[i : i + n_samples].astype(np.int64)).sum()
        for i in range(len(pcm) - n_samples + 1)
    ]
    assert energy == max(energies)
    assert loudest_start(pcm, n_samples) == energies.index(max(energies))
