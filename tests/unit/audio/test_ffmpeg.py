"""What libsndfile cannot open: decoded by PyAV, told where it is missing or the file is cut off."""

import io
import sys

import numpy as np
import pytest
import soundfile
from common_audio import Pipe, read_blocks
from common_av import add_pictures, encode

from speechcls.audio.decode import read_clip, read_native
from speechcls.errors import AudioError

av = pytest.importorskip("av")
RATE = 16_000


# the file's ending, its container and codec, the codec's rate, and how far the length may be off
KINDS = {
    "m4a": ("ipod", "aac", 16_000, 2_048),
    "mp4": ("mp4", "aac", 44_100, 4_096),
    "mov": ("mov", "pcm_s16le", 16_000, 0),
    "aac": ("adts", "aac", 16_000, 3_072),
    "webm": ("webm", "libopus", 48_000, 2_048),
    "mkv": ("matroska", "flac", 16_000, 0),
    "mka": ("matroska", "aac", 16_000, 3_072),
    "wma": ("asf", "wmav2", 44_100, 8_192),
    "ac3": ("ac3", "ac3", 32_000, 3_072),
    "eac3": ("eac3", "eac3", 48_000, 3_072),
    "flv": ("flv", "aac", 44_100, 4_096),
    "ts": ("mpegts", "mp2", 16_000, 2_304),
    "mpg": ("mpeg", "mp2", 48_000, 2_304),
    "rm": ("rm", "ac3", 48_000, 3_072),
    "avi": ("avi", "pcm_s16le", 16_000, 0),
    "tta": ("tta", "tta", 16_000, 0),
    "wv": ("wv", "wavpack", 16_000, 0),
}


@pytest.mark.parametrize("through", ["file", "stream", "pipe"])
@pytest.mark.parametrize(("container", "codec", "rate", "slack"), KINDS.values(), ids=KINDS)
def test_every_kind_keeps_pitch_level_and_length(
    container, codec, rate, slack, through, tone, tmp_path
):
    content = encode(tone(1_000.0, 2.0, rate), container, codec, rate)
    path = tmp_path / "phone.wav"  # a wrong ending does not matter
    path.write_bytes(content)
    notes = []
    if through == "pipe":
        samples, fault, _ = read_blocks(Pipe(content), rate)
        assert fault == ""
    else:
        source = path if through == "file" else io.BytesIO(content)
        samples = read_clip(source, rate, on_note=notes.append)
    assert notes == []
    assert abs(len(samples) - 2 * rate) <= slack
    spectrum = np.abs(np.fft.rfft(samples[rate // 2 : rate // 2 + rate]))
    assert np.argmax(spectrum) == 1_000
    assert np.sqrt(np.mean(samples[rate // 2 : rate] ** 2)) == pytest.approx(0.3536, abs=0.02)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_f32le", "pcm_f64le"])
def test_whole_numbers_and_floats_come_out_as_amplitudes(codec, tone, tmp_path):
    samples = tone(440.0)
    frames, rate = read_native(io.BytesIO(encode(samples, "matroska", codec)))
    assert rate == RATE
    np.testing.assert_allclose(frames[:, 0], samples, atol=1 / 64 if codec == "pcm_u8" else 1e-4)


def test_channels_and_parts(tone, tmp_path):
    left, right = tone(300.0), tone(700.0)
    content = encode(np.stack([left, right]), "matroska", "flac", layout="stereo")
    frames, _ = read_native(io.BytesIO(content))
    np.testing.assert_allclose(frames, np.stack([left, right], 1), atol=1e-4)
    (tmp_path / "a.mkv").write_bytes(content)
    part = read_clip(tmp_path / "a.mkv", RATE, 0.25, 0.5, channel=2)
    assert np.array_equal(part, frames[4_000:8_000, 1])
    with pytest.raises(AudioError, match=r"nothing between 2 s and the end \(it lasts 1.00 s\)"):
        read_clip(tmp_path / "a.mkv", RATE, 2.0)


def test_floats_at_the_scale_of_integers(tone):
    content = encode(tone(440.0) * 32_768, "matroska", "pcm_f32le")
    notes = []
    frames, _ = read_native(io.BytesIO(content), on_note=notes.append)
    assert np.array_equal(frames[:, 0], tone(440.0))
    assert notes == ["floats at the scale of 16-bit integers; they were divided by 32768"]


def test_the_sound_of_a_video(tone):
    content = encode(tone(1_000.0), "mp4", "aac", video=True)
    samples = read_clip(io.BytesIO(content), RATE)
    assert np.argmax(np.abs(np.fft.rfft(samples[:RATE]))) == 1_000


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short_is_told(kind, share, rng):
    container, codec, rate, _ = KINDS[kind]
    noise = (0.1 * rng.standard_normal(4 * rate)).astype(np.float32)
    content = encode(noise, container, codec, rate)
    n_bytes = round(share * len(content)) + 10  # not between two frames
    with pytest.raises(AudioError) as raised:
        read_clip(io.BytesIO(content[:n_bytes]), RATE)
    message = str(raised.value)
    told = (
        "stream: truncated (",
        "stream: an MPEG-4 file without its index",
        "stream: a WavPack file of which nothing can be decoded, damaged or truncated",
    )
    assert message.startswith(told)
    assert message.endswith("copy it again")


def test_a_webm_of_a_browser_that_is_cut_short(rng):
    """As MediaRecorder writes it: neither its length nor its size is known."""
    noise = (0.1 * rng.standard_normal(4 * 48_000)).astype(np.float32)
    content = encode(noise, "webm", "libopus", 48_000, options={"live": "1"})
    assert len(read_clip(io.BytesIO(content), RATE)) == pytest.approx(64_000, abs=800)
    blocks, fault, _ = read_blocks(io.BytesIO(content[: len(content) // 2]))
    assert len(blocks) > 28_000
    assert fault.startswith("truncated (")


def test_without_pyav_the_error_says_what_helps(tone, tmp_path, monkeypatch):
    path = tmp_path / "phone.m4a"
    path.write_bytes(encode(tone(440.0), "ipod", "aac"))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError) as raised:
        read_clip(path, RATE)
    assert str(raised.value) == (
        f"{path}: an MPEG-4 file, which takes the package av; pip install 'speechcls[formats]', or"
        " convert it: ffmpeg -i x.m4a x.wav"
    )


def test_a_video_without_sound_is_told():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        add_pictures(out, out.add_stream("mpeg4", rate=10))
    with pytest.raises(AudioError) as raised:
        read_clip(io.BytesIO(file.getvalue()), RATE)
    assert str(raised.value) == "stream: an MPEG-4 file without sound; name another"


def test_ogg_flac_is_read_too(tone):
    samples = tone(440.0)
    content = encode(samples, "ogg", "flac")
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(io.BytesIO(content))
    np.testing.assert_allclose(read_clip(io.BytesIO(content), RATE), samples, atol=1e-4)
    twice = read_clip(io.BytesIO(content * 2), RATE)
    np.testing.assert_allclose(twice, np.tile(samples, 2), atol=1e-4)


@pytest.mark.parametrize(
    ("magic", "n_bytes", "rate"), [(b"#!AMR\n", 32, 8_000), (b"#!AMR-WB\n", 61, RATE)]
)
def test_amr_of_a_phone(magic, n_bytes, rate, rng):
    """Fifty frames of 20 ms of the highest bit rate, of any content."""
    kind = 7 << 3 | 4 if rate == 8_000 else 8 << 3 | 4
    frames = [bytes([kind]) + rng.bytes(n_bytes - 1) for _ in range(50)]
    content = magic + b"".join(frames)
    frames_read, own_rate = read_native(io.BytesIO(content))
    assert (len(frames_read), own_rate) == (rate, rate)
    with pytest.raises(AudioError) as raised:
        read_clip(io.BytesIO(content[:-5]), RATE)
    n = len(content)
    assert str(raised.value) == f"stream: truncated ({n - 5} of at least {n} bytes); copy it again"


@pytest.mark.parametrize("layout", ["7.1", "hexadecagonal"])
def test_many_channels(layout, tone):
    """PyAV itself crashes on planar frames of eight channels and more."""
    n_channels = av.AudioLayout(layout).nb_channels
    samples = np.stack([tone(100.0 * (i + 1)) for i in range(n_channels)])
    codec = "aac" if n_channels == 8 else "pcm_s16le"
    frames, _ = read_native(io.BytesIO(encode(samples, "mov", codec, layout=layout)))
    assert frames.shape[1] == n_channels
    spectra = np.abs(np.fft.rfft(frames[: RATE // 2], axis=0))
    peaks = {2 * int(np.argmax(spectrum[10:]) + 10) for spectrum in spectra.T}
    assert peaks >= {100 * (i + 1) for i in range(n_channels)} - {400}  # the low one is for bass


def bounds(content, name):
    """Where a box of an MPEG-4 file begins and ends."""
    start = content.index(name) - 4
    return start, start + int.from_bytes(content[start : start + 4], "big")


def with_index_in_front(content):
    """An MPEG-4 file whose samples come last."""
    data, index = bounds(content, b"mdat"), bounds(content, b"moov")
    moov = bytearray(content[index[0] : index[1]])
    at = moov.index(b"stco") + 8
    for place in range(at + 4, at + 4 + 4 * int.from_bytes(moov[at : at + 4], "big"), 4):
        offset = int.from_bytes(moov[place : place + 4], "big") + len(moov)
        moov[place : place + 4] = offset.to_bytes(4, "big")
    return content[: data[0]] + bytes(moov) + content[data[0] : data[1]]


def test_an_mp4_that_claims_more_than_its_samples_is_whole(tone):
    content = with_index_in_front(encode(tone(440.0), "mp4", "aac"))
    expected = read_clip(io.BytesIO(content), RATE)
    start, end = bounds(content, b"mdat")
    assert end == len(content)
    for more in (1, 8, 100_000):
        size = (end - start + more).to_bytes(4, "big")
        notes = []
        changed = content[:start] + size + content[start + 4 :]
        samples = read_clip(io.BytesIO(changed), RATE, on_note=notes.append)
        assert np.array_equal(samples, expected)
        assert notes == ["the size in its header is wrong; it was read to its end"]
        with pytest.raises(AudioError, match=r"truncated \(\d+ of at least \d+ bytes\); copy it"):
            read_clip(io.BytesIO(changed[:-1]), RATE)


def test_a_fragmented_mp4_that_is_cut_short_is_told(rng):
    noise = (0.1 * rng.standard_normal(4 * RATE)).astype(np.float32)
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}
    content = encode(noise, "mp4", "aac", options=options)
    assert content.count(b"moof") > 3
    assert len(read_clip(io.BytesIO(content), RATE)) >= 4 * RATE
    with pytest.raises(AudioError, match=r"truncated \(\d+ of at least \d+ bytes\); copy it again"):
        read_clip(io.BytesIO(content[: content.rindex(b"mdat") + 20]), RATE)


def test_an_encrypted_mp4_is_told_as_such(rng):
    """With noise in place of its samples, as they are without the key."""
    content = encode(0.1 * rng.standard_normal(RATE).astype(np.float32), "mp4", "aac")
    start, end = bounds(content, b"mdat")
    content = content[: start + 8] + rng.bytes(end - start - 8) + content[end:]
    changed = content.replace(b"mp4a\0\0\0\0\0\0", b"enca\0\0\0\0\0\0")
    with pytest.raises(AudioError) as raised:
        read_clip(io.BytesIO(changed), RATE)
    assert str(raised.value) == (
        "stream: an MPEG-4 file that is encrypted; export it without protection"
    )


def test_a_coding_that_ffmpeg_does_not_know_is_told_as_such(tone):
    content = encode(tone(440.0), "mp4", "aac").replace(b"esds", b"free")
    content = content.replace(b"mp4a\0\0\0\0\0\0", b"ac-4\0\0\0\0\0\0")
    with pytest.raises(AudioError) as raised:
        read_clip(io.BytesIO(content), RATE)
    assert str(raised.value) == (
        "stream: an MPEG-4 file with sound of a kind that cannot be decoded; export it again"
    )


def test_a_decode_of_less_than_half_is_told(tone):
    """As of E-AC-3 with six frames in a packet, of which ffmpeg decodes the first.

    Here each packet claims to last six times as long, of the two seconds of the edit list.
    """
    content = bytearray(encode(tone(440.0, 2.0), "mp4", "aac"))
    table = content.index(b"stts") + 8
    n_entries = int.from_bytes(content[table : table + 4], "big")
    places = [table + 8 + 8 * i for i in range(n_entries)]
    for at in (*places, content.index(b"mdhd") + 20):
        duration = 6 * int.from_bytes(content[at : at + 4], "big")
        content[at : at + 4] = duration.to_bytes(4, "big")
    with pytest.raises(AudioError, match=r"only 0.\d+ of 2.00 s can be decoded; convert it to WAV"):
        read_clip(io.BytesIO(bytes(content)), RATE)
