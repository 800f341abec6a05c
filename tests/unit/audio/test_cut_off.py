"""Files that are cut off, and whole ones, of formats of which a header or a unit tells its size."""

import io
import struct

import numpy as np
import pytest
import soundfile
from common_av import encode

from speechcls.audio.decode import read_native
from speechcls.errors import AudioError
from speechcls.formats.ends import find_cut, judge_end
from speechcls.formats.units import find_units_end

RATE = 8_000


def written(samples, kind, subtype):
    """The bytes of a file that libsndfile wrote."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, subtype, format=kind)
    return file.getvalue()


def read(content):
    """The samples (n, n_channels) of a file, its notes, and what is wrong with it."""
    notes = []
    try:
        return read_native(io.BytesIO(content), on_note=notes.append)[0], notes, ""
    except AudioError as error:
        return None, notes, str(error).removeprefix("stream: ")


# what libsndfile calls the format and its samples, the channels, and the bytes behind the samples
BY_LIBSNDFILE = {
    "VOC, 16 bit": ("VOC", "PCM_16", 1, 1),
    "VOC, 8 bit, stereo": ("VOC", "PCM_U8", 2, 1),
    "SPHERE, 16 bit": ("NIST", "PCM_16", 1, 0),
    "SPHERE, mu-law": ("NIST", "ULAW", 1, 0),
    "SPHERE, 24 bit, stereo": ("NIST", "PCM_24", 2, 0),
    "AVR": ("AVR", "PCM_16", 1, 0),
    "AVR, 8 bit, stereo": ("AVR", "PCM_S8", 2, 0),
    "Psion": ("WVE", "ALAW", 1, 0),
    "MATLAB 4": ("MAT4", "PCM_16", 2, 0),
    "MATLAB 4, double": ("MAT4", "DOUBLE", 1, 0),
    "MATLAB 5": ("MAT5", "FLOAT", 1, 0),
    "MATLAB 5, 16 bit, stereo": ("MAT5", "PCM_16", 2, 0),
}


@pytest.mark.parametrize(
    ("kind", "subtype", "n_channels", "n_behind"), BY_LIBSNDFILE.values(), ids=BY_LIBSNDFILE
)
def test_what_libsndfile_reads_without_a_word(kind, subtype, n_channels, n_behind, rng):
    noise = (0.1 * rng.standard_normal((4_000, n_channels))).astype(np.float32)
    content = written(noise, kind, subtype)
    expected = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)[0]
    samples, notes, fault = read(content)
    assert (len(samples), np.array_equal(samples, expected)) == (4_000, True)
    assert (notes, fault) == ([], "")
    assert read(content + bytes(100))[2] == ""
    for n in (len(content) * 6 // 10, len(content) - n_behind - 65):
        fault = f"truncated ({n} of at least {len(content) - n_behind} bytes); copy it again"
        assert read(content[:n])[2] == fault


@pytest.mark.parametrize("kind", ["NIST", "VOC", "AVR"])
def test_a_few_bytes_less_are_miscounted(kind, rng):
    content = written(0.1 * rng.standard_normal(4_000), kind, "PCM_16")
    samples, notes, fault = read(content[:-64])
    assert len(samples) == 3_968
    assert (notes, fault) == (["the size in its header is wrong; it was read to its end"], "")


def test_a_packed_sphere_file_tells_no_size(rng):
    content = written(0.1 * rng.standard_normal(4_000), "NIST", "PCM_16")
    packed = content.replace(b"-s3 pcm\n", b"-s26 pcm,embedded-shorten-v2.00\n").ljust(9_024, b"\0")
    assert find_units_end(io.BytesIO(content[:5_000]), "NIST", 5_000) == 9_024
    assert find_units_end(io.BytesIO(packed[:5_000]), "NIST", 5_000) == 5_000


def test_a_voc_of_blocks_one_behind_the_other(rng):
    noise = (0.1 * rng.standard_normal(32_000)).astype(np.float32)
    content = encode(noise, "voc", "pcm_u8")
    assert content.count(b"\2\0\4\0") > 10  # blocks that go on with 1,024 samples
    assert read(content)[2] == ""
    assert read(content[: len(content) * 6 // 10])[2].startswith("truncated (19294 of at least 195")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("tag", [b"", b"ID3\4\0\0\0\0\0\x0a" + bytes(10)], ids=["", "ID3"])
def test_an_mp2_ends_with_a_frame(share, tag, rng):
    noise = (0.1 * rng.standard_normal(32_000)).astype(np.float32)
    content = tag + encode(noise, "mp2", "mp2")
    samples, notes, fault = read(content)
    assert (len(samples), notes, fault) == (28 * 1_152, [], "")
    assert read(content + b"TAG".ljust(128))[1:] == ([], "")
    cut = content[: round(share * len(content)) + 1]
    assert read(cut)[2] == "truncated (its last frame is incomplete); copy it again"


def test_a_transport_stream_that_is_cut_between_its_packets(rng):
    """Then what is left of a packet of sound is missing."""
    noise = (0.1 * rng.standard_normal(32_000)).astype(np.float32)
    content = encode(noise, "mpegts", "aac")
    assert (len(content) % 188, read(content)[1:]) == (0, ([], ""))
    packet, size = 564, 0x1DC  # the first packet of sound; its 8 bytes of stuffing, then the size
    assert content[packet + 12 : packet + 18] == b"\0\0\1\xc0" + size.to_bytes(2, "big")
    # Of the packet of sound 176 bytes are in the first one, 184 in the second, 122 in the third.
    for n_packets, n_missing in ((1, 306), (2, 122)):
        n = packet + 188 * n_packets
        fault = f"truncated ({n} of at least {n + n_missing} bytes); copy it again"
        assert str(find_cut(io.BytesIO(content[:n]), "mpegts", n)) == fault
    assert find_cut(io.BytesIO(content[: packet + 564]), "mpegts", packet + 564) is None


def mpeg_packet(stream, size):
    return b"\0\0\1" + bytes([stream]) + size.to_bytes(2, "big") + bytes(size)


PACK = b"\0\0\1\xba\x44" + bytes(8) + b"\xfa" + bytes(2)  # of MPEG-2, with two bytes of stuffing
AC3 = b"\x0b\x77\0\0\x61\x40" + bytes(2_224)  # 44.1 kHz, 512 kbit/s, padded: 2 * 1,115 bytes
EAC3 = b"\x0b\x77\x01\x7f\x34\x84" + bytes(762)  # 2 * (383 + 1) bytes
DTS = b"\x7f\xfe\x80\x01\xfc\x3c\x3f\xf0" + bytes(1_016)  # 0x3ff + 1 bytes
DTS_HD = b"\x64\x58\x20\x25\0\x09\x80\x0f\xe0\0\0\0" + bytes(116)  # 0x7f + 1
MUSEPACK = b"MPCK" + b"SH\x0f" + bytes(12) + b"AP\x81\x48" + bytes(196)  # 15, and 1 << 7 | 72
WAVPACK = b"wvpk" + struct.pack("<I", 992) + b"\x10\4\0\0" + b"\xff" * 4 + bytes(984)
REAL = b".RMF\0\0\0\x12" + bytes(10) + b"DATA" + struct.pack(">I", 1_010) + bytes(992)
FLASH = b"FLV\1\4\0\0\0\x09" + b"\0\0\0\0\x08\0\1\x2c" + bytes(307)  # 4 + 11 + 300
DSF = b"DSD ".ljust(80, b"\0") + b"data" + struct.pack("<Q", 12 + 4_096) + bytes(4_096)
# what ffmpeg calls the format; a whole file; what may stand behind it
BY_HAND = {
    "AC-3": ("ac3", AC3 * 3, b"APETAGEX"),
    "E-AC-3": ("eac3", EAC3 * 3, b"TAG"),
    "DTS": ("dts", (DTS + DTS_HD) * 3, b""),
    "AAC with ID3 between its frames": (
        "aac",
        (b"ID3\4\0\0\0\0\0\x14" + bytes(20) + b"\xff\xf1\x60\x40\x19\x1f\xfc" + bytes(193)) * 2,
        b"TAG",
    ),
    "MPEG": ("mpeg", (PACK + mpeg_packet(0xC0, 1_000)) * 2, b"\0\0\1\xb9"),
    "MPEG-1": ("mpeg", b"\0\0\1\xba\x21" + bytes(7) + mpeg_packet(0xC0, 1_000), b"\0" * 9),
    "Musepack": ("mpc8", MUSEPACK, b"SE\3APETAGEX"),
    "WavPack of unknown length": ("wv", WAVPACK * 2, b"APETAGEX\xff\xff\xff"),
    "RealMedia": ("rm", REAL, b"INDX\0\0\0\x14" + bytes(12)),
    "Flash": ("flv", FLASH, b"\0\0\1\x37"),
    "DSF": ("dsf", DSF, b"ID3"),
}


@pytest.mark.parametrize(("demuxer", "whole", "behind"), BY_HAND.values(), ids=BY_HAND)
def test_where_the_last_unit_ends(demuxer, whole, behind):
    for content in (whole, whole + behind):
        assert find_cut(io.BytesIO(content), demuxer, len(content)) is None
    n = len(whole)
    for n_there in (n * 6 // 10, n - 1):
        fault = find_cut(io.BytesIO(whole[:n_there]), demuxer, n_there)
        told = str(fault).removeprefix(f"truncated ({n_there} of at least ")
        assert told.endswith(" bytes); copy it again")
        assert n_there < int(told.split()[0]) <= n


# what ffmpeg calls the format, and a file that goes on as long as it was sent
LIVE = {
    "RealMedia": ("rm", b".RMF\0\0\0\x12" + bytes(10) + b"DATA" + bytes(4) + b"\x7f" * 500),
    "MPEG": ("mpeg", PACK + b"\0\0\1\xe0\0\0" + b"\x7f" * 500),
}


@pytest.mark.parametrize(("demuxer", "content"), LIVE.values(), ids=LIVE)
def test_a_unit_of_no_size_promises_nothing(demuxer, content):
    assert find_cut(io.BytesIO(content), demuxer, len(content)) is None


def test_sizes_of_three_bytes_wrap_around_in_a_long_voc():
    content = written(np.zeros(10), "VOC", "PCM_16")[:26] + b"\x09\xff\xff\xff"
    assert find_units_end(io.BytesIO(content), "voc", len(content)) == 30 + 0xFF_FFFF
    long = io.BytesIO(content)
    long.truncate(1 << 24)
    assert find_units_end(long, "voc", 1 << 24) == 1 << 24


def test_judging_an_end_leaves_the_file_where_it_was(rng):
    file = io.BytesIO(written(0.1 * rng.standard_normal(4_000), "NIST", "PCM_16"))
    file.seek(1_024)
    assert (judge_end(file, "NIST"), file.tell()) == ((None, []), 1_024)
