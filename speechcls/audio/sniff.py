"""What a file is by its first bytes, and what helps where it is no recording."""

import codecs
import os
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from speechcls.errors import AudioError
from speechcls.formats.flac import find_flac_contents
from speechcls.formats.headers import check_wav_format, find_wav_contents
from speechcls.formats.mpeg import find_mp3_contents, id3_bytes, is_free_format, mpeg_frame
from speechcls.formats.ogg import find_ogg_contents
from speechcls.formats.splice import Contents

SUFFIXES = frozenset(
    {".wav", ".wave", ".bwf", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".spx", ".mp3"}
    | {".mp2", ".mpga", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".sph"}
    | {".m4a", ".m4b", ".m4r", ".mp4", ".m4v", ".mov", ".3gp", ".3gpp", ".3g2", ".aac", ".adts"}
    | {".webm", ".weba", ".mkv", ".mka", ".ogv", ".amr", ".awb", ".wma", ".asf", ".wmv", ".avi"}
    | {".ac3", ".eac3", ".ape", ".wv", ".tta", ".tak", ".mpc", ".flv"}
)
"""File name endings, in lower case, by which recordings are found in a folder.

Those that only PyAV reads are among them also where it is missing, so that they are named.
"""
HEAD_BYTES = 4_096
"""As many of the first bytes as tell what a file is."""


class Kind(NamedTuple):
    """What a file is."""

    name: str
    """With its article, as messages call it."""
    demuxer: str | None = None
    """What ffmpeg calls the format; None where it is no recording."""
    advice: str = ""
    """What helps where it is no recording."""


_WAV, _OGG, _MP3 = Kind("a WAV", "wav"), Kind("an Ogg file", "ogg"), Kind("an MP3", "mp3")
_FLAC, _AAC, _MP4 = Kind("a FLAC", "flac"), Kind("AAC", "aac"), Kind("an MPEG-4 file", "mov")
_RECORDINGS = {
    b"RF64": _WAV,
    b"BW64": _WAV,
    b"riff\x2e\x91\xcf\x11": Kind("a W64", "w64"),
    b"fLaC": _FLAC,
    b"OggS": _OGG,
    b".snd": Kind("an AU file", "au"),
    b"caff": Kind("a CAF", "caf"),
    b"#!AMR": Kind("AMR", "amr"),
    b"\x1a\x45\xdf\xa3": Kind("a WebM or Matroska file", "matroska"),
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": Kind("a WMA or other ASF file", "asf"),
    b"FLV\x01": Kind("a Flash video", "flv"),
    b"\x00\x00\x01\xba": Kind("an MPEG video", "mpeg"),
    b"\x7f\xfe\x80\x01": Kind("DTS", "dts"),
    b"wvpk": Kind("a WavPack file", "wv"),
    b"MAC ": Kind("a Monkey's Audio file", "ape"),
    b"TTA1": Kind("a TTA", "tta"),
    b"tBaK": Kind("a TAK", "tak"),
    b"MP+": Kind("a Musepack file", "mpc"),
    b"MPCK": Kind("a Musepack file", "mpc8"),
    b"Creative Voice File": Kind("a VOC", "voc"),
    b"NIST_1A": Kind("a SPHERE file", "nistsphere"),
    b"DSD ": Kind("a DSF", "dsf"),
    b".RMF": Kind("a RealMedia file", "rm"),
}
_AGAIN = "download it again"
_UNPACK = "unpack it"
_OTHER = "name a recording, or leave it out"
OTHER_IFF = Kind("an IFF file of another kind than AIFF", None, "convert it to WAV")
"""As those of the Amiga, 8SVX and 16SV, which libsndfile may read for ever."""
SAMPLE_DUMP = Kind("a MIDI sample dump", None, "convert it to a WAV")
"""libsndfile reads it, and prints errors to the standard output."""
_OTHERS = {
    b"version https://git-lfs": Kind("a Git LFS pointer", None, "fetch it with git lfs pull"),
    b"/annex/objects/": Kind("a git-annex pointer", None, "fetch it with git annex get"),
    b"bplist00": Kind("a property list, as iCloud leaves for what it has", None, _AGAIN),
    b"\x00\x05\x16\x07": Kind("what macOS keeps beside a file (AppleDouble)", None, "leave it out"),
    b"PK\x03\x04": Kind("a ZIP archive", None, _UNPACK),
    b"\x1f\x8b": Kind("a gzip archive", None, _UNPACK),
    b"BZh": Kind("a bzip2 archive", None, _UNPACK),
    b"\xfd7zXZ\x00": Kind("an xz archive", None, _UNPACK),
    b"7z\xbc\xaf\x27\x1c": Kind("a 7z archive", None, _UNPACK),
    b"Rar!": Kind("a RAR archive", None, _UNPACK),
    b"\x28\xb5\x2f\xfd": Kind("a Zstandard archive", None, _UNPACK),
    b"%PDF": Kind("a PDF", None, _OTHER),
    b"\x89PNG": Kind("a PNG picture", None, _OTHER),
    b"\xff\xd8\xff": Kind("a JPEG picture", None, _OTHER),
    b"GIF8": Kind("a GIF picture", None, _OTHER),
    b"\xf0\x7e": SAMPLE_DUMP,
    b"MThd": Kind("a MIDI score, which has notes and no sound", None, "render it to a WAV"),
    b"\x93NUMPY": Kind("a NumPy array", None, "write it as a WAV"),
    b"\x89HDF": Kind("an HDF5 file", None, "write its sound as WAVs"),
    b"PAR1": Kind("a Parquet table", None, "name it as a data set, not as a recording"),
    b"SQLite format 3": Kind("an SQLite database", None, _OTHER),
    b"#EXTM3U": Kind("a playlist", None, "name the recordings in it"),
}
_MAGICS = _RECORDINGS | _OTHERS
_IN_RIFF = {
    b"WAVE": _WAV,
    b"AVI ": Kind("an AVI", "avi"),
    b"WEBP": Kind("a WebP picture", None, _OTHER),
}
_IN_FORM = {
    b"AIFF": Kind("an AIFF", "aiff"),
    b"AIFC": Kind("an AIFF", "aiff"),
}
_BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"styp", b"wide", b"free", b"skip", b"pnot")
_TEXTS = {
    b"<!doctype html": Kind("an HTML page", None, _AGAIN),
    b"<html": Kind("an HTML page", None, _AGAIN),
    b"<": Kind("an XML document", None, _AGAIN),
    b"{": Kind("JSON", None, _OTHER),
    b"[": Kind("JSON", None, _OTHER),
    b"": Kind("text", None, _OTHER),
}
"""What a text is by how it begins, the most telling first."""


def is_recording_name(name: str) -> bool:
    """Whether a file of this name is a recording, by its ending."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def is_audio(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a recording.

    Parameters
    ----------
    head : the first ``HEAD_BYTES``, or the whole of a shorter file
    """
    kind = kind_of(head)
    return kind is not None and kind.demuxer is not None


def kind_of(head: bytes) -> Kind | None:
    """Return what a file that begins with ``head`` is; None where nothing tells."""
    return kind_by_magic(head) or _kind_of_frames(head) or _kind_without_magic(head)


def kind_by_magic(head: bytes) -> Kind | None:
    """Return what a file is whose first 12 bytes leave no doubt; None of any other."""
    if head[:4] in (b"RIFF", b"RIFX"):
        return _IN_RIFF.get(head[8:12])
    if head[:4] == b"FORM":
        return _IN_FORM.get(head[8:12], OTHER_IFF)
    if head[4:8] in _BOXES:
        return _MP4
    for magic, kind in _MAGICS.items():
        if head.startswith(magic):
            return kind
    return None


def _kind_of_frames(head: bytes) -> Kind | None:
    """Return the kind of a recording that has frames alone, perhaps behind an ID3 tag."""
    if head[:3] == b"ID3":
        rest = head[id3_bytes(head) :]
        if not rest:
            return _MP3  # by far the most common; the tag is longer than the head
        return _MP3 if rest[:3] == b"ID3" else kind_of(rest) or _MP3
    if len(head) >= 4 and head[0] == 0xFF:
        if head[1] & 0xF6 == 0xF0:
            return _AAC
        frame = mpeg_frame(head)
        if frame is not None and frame.n_bytes:  # and no coincidence: another one follows
            next_head = head[frame.n_bytes : frame.n_bytes + 4]
            following = mpeg_frame(next_head)
            is_last = len(next_head) < 4 or next_head[:3] in (b"TAG", b"APE", b"LYR", b"ID3")
            if is_last or (following and following[2:5] == frame[2:5]):
                return _MP3
        if is_free_format(head):
            return _MP3
    if head[:2] == b"\x0b\x77" and len(head) >= 6:
        return Kind("AC-3", "ac3" if head[5] >> 3 <= 10 else "eac3")
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:
        return Kind("an MPEG transport stream", "mpegts")
    return None


def _kind_without_magic(head: bytes) -> Kind | None:
    """Return the kind of what is text, an archive of tar, or empty of content."""
    if head and not head.strip(b"\0"):
        return Kind("zeros alone, as an interrupted copy leaves them", None, "copy it again")
    if head[257:262] == b"ustar":
        return Kind("a tar archive", None, _UNPACK)
    return kind_of_text(head)


def kind_of_text(head: bytes) -> Kind | None:
    """Return the kind of what begins with text, perhaps cut within a character; None of others."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    n_control = sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in head)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return None
    if n_control or len(text) < 4:
        return None
    return next(kind for start, kind in _TEXTS.items() if text.lower().startswith(start))


def refusal_of(head: bytes, reason: str = "of no known format") -> AudioError:
    """Return the error, without a subject, of a file that begins so and cannot be read.

    Parameters
    ----------
    reason : why it cannot be read, where it is a recording or nothing tells what it is
    """
    kind = kind_of(head)
    if kind is None:
        return AudioError(f"not readable audio ({reason}); export it again as a WAV")
    if kind.demuxer is None:
        return AudioError(f"{kind.name}, not a recording; {kind.advice}")
    return AudioError(f"not readable audio ({kind.name}: {reason}); export it again")


def find_contents(file: BinaryIO, head: bytes) -> Contents:
    """Return what a file consists of, as far as libsndfile would take it for something else."""
    n_bytes = file.seek(0, os.SEEK_END)
    if head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt ":
        check_wav_format(head[20:36])
    size = int.from_bytes(head[40:44], "little")
    if head[:4] == b"RIFF" and head[36:40] == b"data" and size == n_bytes - 44 > 0:
        return Contents()  # as most: a header and samples
    found = find_wav_contents(file, head, n_bytes)
    if found is not None:
        return found
    if head[:4] == b"OggS":
        return find_ogg_contents(file, n_bytes)
    if head[:4] == b"fLaC":
        return find_flac_contents(file, head, n_bytes)
    kind = kind_of(head)
    if (kind is not None and kind.demuxer == "mp3") or head[:4] in (b"ID3\x03", bytes(4)):
        return find_mp3_contents(file, n_bytes)  # perhaps behind zeros
    if kind is None:  # perhaps an MP3 behind junk
        contents = find_mp3_contents(file, n_bytes)
        if contents.links is None and head[0] == 0xFF:  # libsndfile would take it for an MP3
            raise refusal_of(head)
        return contents
    return Contents()
