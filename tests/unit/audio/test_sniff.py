"""What a file is by its first bytes."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
import soundfile

from speechcls.audio.decode import read_clip
from speechcls.audio.sniff import SUFFIXES, is_audio
from speechcls.errors import AudioError

LFS = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.wav", b"RIFF")
    return file.getvalue()


# content of a file called .wav; what is said of it
OTHERS = {
    "Git LFS": (LFS, "a Git LFS pointer, not a recording; fetch it with git lfs pull"),
    "git-annex": (
        b"/annex/objects/SHA256E-s1--2.wav\n",
        "a git-annex pointer, not a recording; fetch it with git annex get",
    ),
    "HTML": (
        b"\n<!DOCTYPE html><html><body>404</body></html>",
        "an HTML page, not a recording; download it again",
    ),
    "XML": (
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "an XML document, not a recording; download it again",
    ),
    "JSON": (b'{"message": "Not Found"}', "JSON, not a recording; name a recording"),
    "ZIP": (zipped(), "a ZIP archive, not a recording; unpack it"),
    "gzip": (gzip.compress(b"RIFF"), "a gzip archive, not a recording; unpack it"),
    "PDF": (b"%PDF-1.7\n" + bytes(99), "a PDF, not a recording; name a recording"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG picture, not a recording"),
    "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(99), "a JPEG picture, not a recording"),
    "playlist": (b"#EXTM3U\nhttp://127.0.0.1/a.mp3\n", "a playlist, not a recording"),
    "NumPy": (b"\x93NUMPY\1\0" + bytes(99), "a NumPy array, not a recording; write it as a WAV"),
    "AppleDouble": (b"\0\5\x16\7\0\2\0\0" + bytes(99), "what macOS keeps beside a file"),
    "text": ("Sehr geehrte Frau Müller,\n".encode() * 400, "text, not a recording"),
    "zeros": (bytes(9_000), "zeros alone, as an interrupted copy leaves them"),
}


@pytest.mark.parametrize(("content", "message"), OTHERS.values(), ids=OTHERS)
def test_what_is_no_recording_is_told_as_what_it_is(content, message, tmp_path):
    path = tmp_path / "yes.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError) as raised:
        read_clip(path, 16_000)
    assert str(raised.value).startswith(f"{path}: {message}")
    assert "delete" not in str(raised.value)
    assert not is_audio(content[:4_096])


@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"])
def test_a_recording_is_one_by_its_first_bytes(kind):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(20_000), 16_000, format=kind)
    assert is_audio(file.getvalue()[:4_096])
    assert is_audio(file.getvalue()[:12])


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"\0\0\0\x20ftypM4A \0\0\0\0", id="m4a"),
        pytest.param(b"\0\0\0\x18ftyp3gp4\0\0\0\0", id="3gp"),
        pytest.param(b"\x1a\x45\xdf\xa3\x9fB\x86\x81\1", id="webm"),
        pytest.param(b"#!AMR\n\x3c", id="amr"),
        pytest.param(b"#!AMR-WB\n\x3c", id="awb"),
        pytest.param(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), id="wma"),
        pytest.param(bytes.fromhex("fff15080"), id="aac"),
        pytest.param(bytes.fromhex("fffb9064"), id="mp3"),
        pytest.param(b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + b"fLaC", id="ID3 and FLAC"),
        pytest.param(b"ID3\x03\0\0\0\0\x7f\x7f", id="a long ID3 tag"),
        pytest.param(struct.pack("<4sI4s", b"RIFF", 9, b"AVI "), id="avi"),
    ],
)
def test_recordings_that_libsndfile_cannot_open(head):
    assert is_audio(head)


@pytest.mark.parametrize("head", [b"", b"R", b"\xff", b"\xff\xff\xff\xff", b"RIFF\0\0\0\0WEBP"])
def test_what_is_too_short_or_no_sound(head):
    assert not is_audio(head)


def test_phones_and_web_recorders_are_among_the_endings():
    expected = {".wav", ".m4a", ".aac", ".mp4", ".webm", ".mkv", ".mov", ".amr", ".wma", ".3gp"}
    expected |= {".m4b", ".mka", ".ac3", ".opus", ".ogg", ".mp3", ".flac", ".aif"}
    assert expected <= SUFFIXES
