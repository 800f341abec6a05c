"""Recordings from the bodies of requests."""

import io

import numpy as np
import pytest
import soundfile
from common_serve import form

from speechcls.serve.bodies import raw_format, read_recordings
from speechcls.serve.guard import Refusal

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt ..."


def refused(content_type, body, n_max=3):
    with pytest.raises(Refusal) as raised:
        read_recordings(content_type, body, n_max)
    return raised.value.status, str(raised.value)


@pytest.mark.parametrize(
    "kind",
    [
        *("", "audio/wav", "audio/flac", "video/mp4", "application/octet-stream"),
        *("application/x-www-form-urlencoded", "AUDIO/MPEG; x=1"),
    ],
)
def test_a_bare_body_is_one_recording_as_it_is(kind):
    [recording] = read_recordings(kind, WAV, 3)
    assert recording == ("-", "body", WAV)


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("text/plain", "text/plain"),
        ("application/json; charset=utf-8", "application/json"),
        ("image/png", "image/png"),
        ("nonsense", "text/plain"),
    ],
)
def test_other_types_are_refused(kind, shown):
    status, text = refused(kind, WAV)
    assert status == 415
    assert text.startswith(f"body: {shown} is no recording; send its bytes as audio/wav")


def test_nothing_is_refused():
    assert refused("audio/wav", b"") == (400, "body: is empty (0 bytes); send a recording")


@pytest.mark.parametrize(
    ("kind", "content", "expected", "rate"),
    [
        ("audio/pcm", b"\x00\x40\x00\xc0", [[0.5], [-0.5]], 16_000),
        ("audio/pcm;rate=8000;channels=2", b"\x00\x40\x00\xc0", [[0.5, -0.5]], 8_000),
        ("audio/pcm; encoding=F32LE", np.float32([0.25]).tobytes(), [[0.25]], 16_000),
        ("audio/L16; rate=44100", b"\x40\x00\xc0\x00", [[0.5], [-0.5]], 44_100),
    ],
)
def test_raw_samples_become_a_wav(kind, content, expected, rate):
    [recording] = read_recordings(kind, content, 3)
    samples, own_rate = soundfile.read(io.BytesIO(recording.content), always_2d=True)
    assert own_rate == rate
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize(
    ("kind", "content", "status", "text"),
    [
        ("audio/pcm;rate=1", b"..", 400, "rate: 1 is not possible; it must be 1000 to 768000"),
        ("audio/pcm;rate=x", b"..", 400, "rate: x is not possible; it must be 1000 to 768000"),
        ("audio/pcm;channels=99", b"..", 400, "channels: 99 is not possible; it must be 1 to 16"),
        ("audio/pcm;encoding=mp3", b"..", 400, "encoding: no mp3; there are s16le, f32le"),
        ("audio/pcm;bits=8", b"..", 415, "body: no parameter bits; there are channels, encoding,"),
        ("audio/l16;encoding=f32le", b"..", 415, "body: no parameter encoding; there are channels"),
        ("audio/pcm", b"\x80.." * 3, 422, "body: 1 bytes too many for whole samples; check encod"),
        ("audio/pcm", WAV, 415, "body: a WAV, not raw PCM; leave the content type out"),
        ("audio/pcm", b"what is this? ", 415, "body: text, not raw PCM; leave the content type"),
    ],
)
def test_raw_samples_that_cannot_be_are_refused(kind, content, status, text):
    found, message = refused(kind, content)
    assert (found, message[: len(text)]) == (status, text)


def test_a_form_has_a_recording_a_part():
    content, kind = form(
        ("yes/1.wav", WAV, "audio/wav"),
        ("naïve.wav", b"\r\n--xy\r\n", None),
        ("raw", b"\x00\x40", "audio/pcm;rate=8000"),
    )
    first, second, third = read_recordings(kind, content, 3)
    assert first == ("yes/1.wav", "yes/1.wav", WAV)
    assert second == ("naïve.wav", "naïve.wav", b"\r\n--xy\r\n")
    assert third.content[:4] == b"RIFF"
    assert third.content[-2:] == b"\x00\x40"


def test_a_part_without_a_file_name_has_that_of_its_field():
    content = b'--b\r\nContent-Disposition: form-data; name="clip"\r\n\r\nabc\r\n--b--'
    assert read_recordings("multipart/form-data; boundary=b", content, 1) == [
        ("clip", "clip", b"abc")
    ]


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (b"", 400, "body: a form that is cut off; send it again"),
        (b"--b--\r\n", 400, "body: a form without a file; add one, as curl -F clip=@clip.wav"),
        (b"--b\r\nA: b\r\n\r\nabc", 400, "body: a form that is cut off; send it again"),
        (b"--b\r\nabc\r\n--b--", 400, "body: a form with a part that has no headers; send it"),
        (b"--b\r\nA: b\r\n\r\n\r\n--b--", 400, "-: is empty (0 bytes); send a recording"),
        (b"--b\r\nA: b\r\n\r\nx\r\n" * 4 + b"--b--", 413, "body: more than 3 recordings; send sev"),
        (b"--b\r\n" * 99_999, 413, "body: more than 3 recordings; send several requests"),
        (
            b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--b--",
            415,
            "body: a part in another encoding than binary; send its bytes",
        ),
    ],
)
def test_broken_forms_are_refused(content, status, text):
    found, message = refused("multipart/form-data; boundary=b", content)
    assert (found, message[: len(text)]) == (status, text)


@pytest.mark.parametrize("boundary", ["", "; boundary=", f"; boundary={'b' * 71}"])
def test_a_form_needs_a_boundary(boundary):
    status, text = refused(f"multipart/form-data{boundary}", b"--b--")
    assert (status, text[:29]) == (400, "body: a form without a bounda")


def test_the_format_of_raw_samples():
    assert raw_format({}) == ("PCM_16", 1, 16_000, 2, None)
    assert raw_format({"rate": "48000", "channels": "2", "encoding": "f32le"}) == (
        *("FLOAT", 2, 48_000, 8),
        None,
    )
