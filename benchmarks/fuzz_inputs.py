"""Small recordings of every kind, and mutations of them, for ``fuzz_audio``."""

import struct
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple, cast

import av
import numpy as np
import numpy.typing as npt
import soundfile

RATES = (8_000, 16_000, 44_100)
DURATION_S = 0.15
LARGEST_SEED = 60_000
"""Bytes; larger files of ``--also`` are left out."""
HEADER = 128
"""Bytes of a file that are mutated more often than others."""
PCM = ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
KINDS = {
    "WAV": (*PCM, "PCM_U8", "IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32"),
    "WAVEX": ("PCM_16", "PCM_24", "FLOAT", "ULAW"),
    "RF64": ("PCM_16", "FLOAT"),
    "W64": ("PCM_16", "PCM_U8", "FLOAT", "MS_ADPCM"),
    "AIFF": (*PCM, "PCM_S8", "PCM_U8", "IMA_ADPCM", "GSM610"),
    "AU": (*PCM, "PCM_S8", "G721_32", "G723_24"),
    "CAF": (*PCM, "PCM_S8", "ALAC_16", "ALAC_24"),
    "FLAC": ("PCM_S8", "PCM_16", "PCM_24"),
    "OGG": ("VORBIS", "OPUS"),
    "MP3": ("MPEG_LAYER_III",),
    "SVX": ("PCM_16",),
    "VOC": ("PCM_16",),
    "NIST": ("PCM_16",),
    "PAF": ("PCM_16",),
    "IRCAM": ("PCM_16",),
    "MAT5": ("FLOAT",),
    "PVF": ("PCM_16",),
    "XI": ("DPCM_16",),
    "SDS": ("PCM_16",),
    "AVR": ("PCM_16",),
    "WVE": ("ALAW",),
    "HTK": ("PCM_16",),
}
"""By libsndfile's names."""
ENDINGS = {"WAVEX": "wav", "RF64": "rf64", "AIFF": "aiff"}
PYAV_KINDS = (
    ("m4a", "ipod", "aac", 16_000, "mono"), ("m4a", "ipod", "alac", 16_000, "mono"),
    ("mp4", "mp4", "aac", 44_100, "stereo"), ("mp4", "mp4", "aac", 48_000, "7.1"),
    ("3gp", "3gp", "libopencore_amrnb", 8_000, "mono"),
    ("amr", "amr", "libopencore_amrnb", 8_000, "mono"),
    ("webm", "webm", "libopus", 48_000, "mono"), ("webm", "webm", "libopus", 48_000, "7.1"),
    ("webm", "webm", "vorbis", 44_100, "stereo"), ("mka", "matroska", "flac", 16_000, "mono"),
    ("mkv", "matroska", "aac", 16_000, "mono"), ("mov", "mov", "pcm_s16le", 16_000, "mono"),
    ("wma", "asf", "wmav2", 16_000, "mono"), ("wma", "asf", "wmav1", 16_000, "mono"),
    ("aac", "adts", "aac", 16_000, "mono"), ("ac3", "ac3", "ac3", 48_000, "5.1(side)"),
    ("mp2", "mp2", "mp2", 16_000, "mono"), ("mp3", "mp3", "libmp3lame", 16_000, "mono"),
    ("avi", "avi", "mp2", 16_000, "mono"), ("flv", "flv", "aac", 16_000, "mono"),
    ("oga", "ogg", "flac", 16_000, "mono"), ("spx", "ogg", "libopus", 48_000, "mono"),
    ("tta", "tta", "tta", 16_000, "mono"), ("wv", "wv", "wavpack", 16_000, "stereo"),
    ("ts", "mpegts", "aac", 16_000, "mono"), ("wav", "wav", "g722", 16_000, "mono"),
    ("wav", "wav", "pcm_s16le", 16_000, "mono"), ("wav", "wav", "pcm_f32le", 8_000, "stereo"),
    ("aiff", "aiff", "pcm_s16be", 8_000, "mono"), ("w64", "w64", "pcm_s16le", 8_000, "stereo"),
    ("caf", "caf", "pcm_s16le", 8_000, "mono"),
)  # fmt: skip
"""Ending, container, codec, Hz and channels of what PyAV writes."""
EXTREMES = (
    *(0, 1, 2, 3, 7, 8, 11, 12, 15, 16, 24, 31, 32, 33, 64, 127, 128, 255, 256, 999, 1_000, 4_000),
    *(2**15 - 1, 2**15, 2**16 - 1, 2**16, 768_000, 768_001, 2**24, 2**28, 2_000_000_000),
    *(2**31 - 2**16, 2**31 - 1, 2**31, 2**32 - 2**16, 2**32 - 2, 2**32 - 1, 2**33, 2**40),
    *(2**62, 2**63 - 1, 2**63, 2**64 - 1),
)
"""Sizes, rates, channels and totals that headers claim."""
Rng = np.random.Generator


class Input(NamedTuple):
    """The bytes of a file."""

    number: int
    name: str
    content: bytes
    history: str = ""
    """How it was made."""


def make_seeds(also: Path | None = None) -> tuple[Input, ...]:
    """Return a small recording of each kind, and the small files of a folder."""
    made = [*_with_soundfile(), *_with_pyav()]
    files = sorted(path for path in also.rglob("*") if path.is_file()) if also else []
    made += [
        (path.name, path.read_bytes()) for path in files if path.stat().st_size <= LARGEST_SEED
    ]
    return tuple(Input(i, name, content) for i, (name, content) in enumerate(made))


def _sound(rate: int, n_channels: int, duration_s: float = DURATION_S) -> npt.NDArray[np.float32]:
    """Return (n, n_channels): a tone in noise."""
    rng = np.random.default_rng(n_channels)
    times = np.arange(round(duration_s * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * 440 * times)[:, None]
    sound = tone + 0.02 * rng.standard_normal((len(times), n_channels))
    return sound.astype(np.float32)


def _with_soundfile() -> list[tuple[str, bytes]]:
    made = []
    for i, (container, subtypes) in enumerate(KINDS.items()):
        for j, subtype in enumerate(subtypes):
            rate, n_channels = RATES[(i + j) % 3], 1 + (i + j) % 2
            if container in ("WVE", "SVX", "SDS", "HTK") or subtype.startswith(
                ("GSM", "G72", "DPCM")
            ):
                rate, n_channels = 8_000, 1
            for mode in ("CONSTANT", "VARIABLE") if container == "MP3" else (None,):
                file = BytesIO()
                with soundfile.SoundFile(
                    file, "w", rate, n_channels, subtype, None, container, bitrate_mode=mode
                ) as sound:
                    sound.write(_sound(rate, n_channels))
                ending = ENDINGS.get(container, container.lower())
                made.append((f"{subtype.lower()}.{ending}", file.getvalue()))
    return made


def _with_pyav() -> list[tuple[str, bytes]]:
    made = []
    for ending, container, codec, rate, layout in PYAV_KINDS:
        file = BytesIO()
        with av.open(file, "w", format=container) as output:
            output.metadata.update(title="one", artist="two", comment="three")  # chunks of text
            # FFmpeg calls its Vorbis encoder experimental.
            options = {"strict": "-2"} if codec == "vorbis" else None
            made_stream = output.add_stream(codec, rate=rate, options=options, layout=layout)
            stream = cast(av.AudioStream, made_stream)
            if codec.startswith("wma"):
                stream.bit_rate = 32_000
            resampler = av.AudioResampler(stream.format, layout, rate)
            sound = _sound(rate, av.AudioLayout(layout).nb_channels)
            frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), "flt", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            for piece in resampler.resample(frame):
                output.mux(stream.encode(piece))
            output.mux(stream.encode(None))
        made.append((f"{codec}.{ending}", file.getvalue()))
    return made


def make_input(index: int, seeds: tuple[Input, ...]) -> Input:
    """Return input number ``index``: always the same."""
    rng = np.random.default_rng(index)
    seed = seeds[rng.integers(len(seeds))]
    content, history = bytearray(seed.content), [seed.name]
    for _ in range(rng.integers(1, 5)):
        mutate = MUTATIONS[rng.integers(len(MUTATIONS))]
        if mutate in (splice, append):
            other = seeds[rng.integers(len(seeds))]
            if rng.random() < 0.5:  # of the same kind
                other = seed
            content = mutate(content, rng, other.content)
            history.append(f"{mutate.__name__} {other.name}")
        elif content:
            content = mutate(content, rng, b"")
            history.append(mutate.__name__)
    name = seed.name
    if rng.random() < 0.1:  # the ending of another
        name = f"renamed{Path(seeds[rng.integers(len(seeds))].name).suffix}"
    return Input(index, name, bytes(content), ", ".join(history))


def _position(content: bytearray, rng: Rng, n_bytes: int = 1) -> int:
    """Return where to change something: mostly in the header."""
    last = max(len(content) - n_bytes, 0)
    return int(rng.integers(min(HEADER, last) + 1 if rng.random() < 0.6 else last + 1))


def flip_bits(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Flip some bits."""
    for _ in range(rng.integers(1, 9)):
        content[_position(content, rng)] ^= 1 << int(rng.integers(8))
    return content


def insert(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Insert random bytes."""
    at = _position(content, rng)
    content[at:at] = rng.bytes(int(rng.integers(1, 65)))
    return content


def delete(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Leave out some bytes."""
    at = _position(content, rng)
    del content[at : at + int(rng.integers(1, 65))]
    return content


def repeat(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Repeat some bytes."""
    at = _position(content, rng)
    content[at:at] = content[at : at + int(rng.integers(1, 513))] * int(rng.integers(1, 5))
    return content


def blank(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Overwrite some bytes with zeros or ones."""
    at, n = _position(content, rng), int(rng.integers(1, 513))
    n = min(n, len(content) - at)
    content[at : at + n] = bytes([0 if rng.random() < 0.5 else 255]) * n
    return content


def truncate(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Cut off the end."""
    return content[: int(rng.integers(len(content)))]


def splice(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Follow the beginning of one with the end of another."""
    at = int(rng.integers(len(content) + 1))
    return content[:at] + other[int(rng.integers(len(other) + 1)) :]


def append(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Join two files."""
    return content + other


def extreme(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Write an extreme number of 1, 2, 4 or 8 bytes somewhere."""
    n = int(rng.choice([1, 2, 4, 8]))
    at = _position(content, rng, n)
    _put(content, at, n, int(EXTREMES[rng.integers(len(EXTREMES))]), rng.random() < 0.5)
    return content


def _put(content: bytearray, at: int, n: int, value: int, is_little: bool) -> None:
    value %= 256**n
    content[at : at + n] = value.to_bytes(n, "little" if is_little else "big")


FIELDS: dict[bytes, tuple[bool, tuple[tuple[int, int], ...]]] = {
    # Position after the mark, and bytes; the order of bytes is little-endian where True.
    b"fmt ": (True, ((4, 4), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2), (22, 2))),
    b"data": (True, ((4, 4),)),
    b"RIFF": (True, ((4, 4),)),
    b"LIST": (True, ((4, 4),)),
    b"fact": (True, ((4, 4), (8, 4))),
    b"ds64": (True, ((4, 4), (8, 8), (16, 8), (24, 8))),
    b"FORM": (False, ((4, 4),)),
    b"COMM": (False, ((4, 4), (8, 2), (10, 4), (14, 2), (16, 2), (18, 8))),
    b"SSND": (False, ((4, 4), (8, 4), (12, 4))),
    b".snd": (False, ((4, 4), (8, 4), (12, 4), (16, 4), (20, 4))),
    b"desc": (False, ((4, 8), (12, 8), (24, 4), (28, 4), (32, 4), (36, 4))),
    b"fLaC": (False, ((4, 4), (8, 2), (10, 2), (18, 8), (18, 4))),
    b"OggS": (True, ((6, 8), (14, 4), (18, 4), (26, 1))),
    b"OpusHead": (True, ((9, 1), (10, 2), (12, 4), (16, 2), (18, 1))),
    b"\x01vorbis": (True, ((11, 1), (12, 4), (20, 4), (28, 1))),
    b"ID3": (False, ((6, 4),)),
    b"Xing": (False, ((4, 4), (8, 4), (12, 4))),
    b"Info": (False, ((4, 4), (8, 4), (12, 4))),
    b"mdhd": (False, ((4, 4), (16, 4), (20, 4))),
    b"mvhd": (False, ((16, 4), (20, 4))),
    b"mp4a": (False, ((20, 2), (22, 2), (28, 4))),
    b"stsz": (False, ((8, 4), (12, 4), (16, 4))),
    b"stts": (False, ((8, 4), (12, 4), (16, 4))),
    b"stsc": (False, ((8, 4), (12, 4), (16, 4))),
    b"stco": (False, ((8, 4), (12, 4))),
    b"\xb5\x84": (False, ((2, 8),)),  # Matroska: sampling frequency
    b"\x44\x89": (False, ((3, 8),)),  # Matroska: duration
}
"""Numbers in headers, by what stands before them."""


def field(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Write an extreme number into a field that the format has."""
    there = [mark for mark in FIELDS if mark in content]
    if not there:
        return extreme(content, rng, other)
    mark = there[rng.integers(len(there))]
    is_little, places = FIELDS[mark]
    offset, n = places[rng.integers(len(places))]
    at = content.find(mark) + offset
    if rng.random() < 0.2:
        at = content.rfind(mark) + offset
    if at + n > len(content):
        return content
    value = int(EXTREMES[rng.integers(len(EXTREMES))])
    if rng.random() < 0.3:  # a little off
        order: Literal["little", "big"] = "little" if is_little else "big"
        value = int.from_bytes(content[at : at + n], order) + int(rng.integers(-64, 65))
    elif n == 8 and mark in (b"desc", b"\xb5\x84", b"\x44\x89"):
        value = int.from_bytes(struct.pack(">d", float(value)), "big")
    _put(content, at, n, value, is_little)
    return content


def flac_total(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Change rate, channels, bits or total of a FLAC, which are not of whole bytes."""
    if content[:4] != b"fLaC" or len(content) < 26:
        return field(content, rng, other)
    value = int.from_bytes(content[18:26], "big")
    shift, n_bits = ((44, 20), (41, 3), (36, 5), (0, 36))[rng.integers(4)]
    new = int(EXTREMES[rng.integers(len(EXTREMES))]) % 2**n_bits
    value = value & ~((2**n_bits - 1) << shift) | new << shift
    content[18:26] = value.to_bytes(8, "big")
    return content


def grow_chunks(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Double the size that a chunk claims, once or several times."""
    marks = [
        mark
        for mark in (b"fmt ", b"data", b"LIST", b"COMM", b"SSND", b"desc", b"moov")
        if mark in content
    ]
    if not marks:
        return extreme(content, rng, other)
    mark = marks[rng.integers(len(marks))]
    is_little = mark in (b"fmt ", b"data", b"LIST")
    at = content.find(mark) + (-4 if mark == b"moov" else 4)
    if 0 <= at <= len(content) - 4:
        size = int.from_bytes(content[at : at + 4], "little" if is_little else "big")
        _put(content, at, 4, size << int(rng.integers(1, 20)), is_little)
    return content


def id3_tag(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Put an ID3 tag in front, of a size that may not be true."""
    n = int(rng.choice([0, 10, 1_000, 20_000]))
    claimed = n if rng.random() < 0.6 else int(rng.integers(2**28))
    size = bytes(claimed >> shift & 127 for shift in (21, 14, 7, 0))
    return bytearray(b"ID3\x04\0\0" + size + bytes(n)) + content


def repair_ogg(content: bytearray, rng: Rng, other: bytes) -> bytearray:
    """Change the position that an Ogg page claims, and make the checksums of all pages right."""
    at = content.find(b"OggS")
    if at < 0:
        return field(content, rng, other)
    pages = []
    while at >= 0:
        pages.append(at)
        at = content.find(b"OggS", at + 4)
    chosen = pages[rng.integers(len(pages))]
    if chosen + 14 <= len(content):
        value = int(EXTREMES[rng.integers(len(EXTREMES))])
        _put(content, chosen + 6, 8, value, True)
    for at in pages:
        n_segments = content[at + 26] if at + 26 < len(content) else 0
        end = at + 27 + n_segments + sum(content[at + 27 : at + 27 + n_segments])
        if end <= len(content) and at + 27 <= len(content):
            content[at + 22 : at + 26] = bytes(4)
            content[at + 22 : at + 26] = ogg_checksum(bytes(content[at:end])).to_bytes(4, "little")
    return content


def _crc_table() -> list[int]:
    table = []
    for i in range(256):
        value = i << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C1_1DB7 if value & 0x8000_0000 else 0)) & 0xFFFF_FFFF
        table.append(value)
    return table


_TABLE = _crc_table()


def ogg_checksum(page: bytes) -> int:
    """Return the checksum of an Ogg page whose own checksum is zero.

    Source
    ------
    RFC 3533, section 6
    """
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFF_FFFF) ^ _TABLE[value >> 24 ^ byte]
    return value


Mutation = Callable[[bytearray, Rng, bytes], bytearray]
MUTATIONS: tuple[Mutation, ...] = (
    flip_bits, insert, delete, repeat, blank, truncate, splice, append, extreme, extreme, field,
    field, field, flac_total, grow_chunks, id3_tag, repair_ogg,
)  # fmt: skip
