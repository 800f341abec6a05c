"""Ogg page by page: of joined streams libsndfile hears the first, and misses no page."""

from typing import BinaryIO

from speechcls.errors import AudioError
from speechcls.formats.splice import BLOCK_BYTES, Contents, Parts, Peek, append_range

_AUDIO_IN_OGG = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ", b"fLaC")
"""How the first packet of an audio stream begins."""
_FIRST, _LAST = 2, 4  # flags of an Ogg page


def find_ogg_contents(file: BinaryIO, n_bytes: int) -> Contents:
    """Return what an Ogg file consists of: of each of its parts the first stream of sound.

    Parameters
    ----------
    n_bytes : size of the file
    """
    peek, at = Peek(file, n_bytes), 0
    links: list[Parts] = []
    serial, has_other, is_open, is_starting = -1, False, False, False
    n_page, fault = 0, None  # the page's number in its stream
    while at < n_bytes:
        head = peek.at(at, 27)
        if head[:4] != b"OggS":
            at, has_other = _next_page(peek, at + 1), True
            continue
        lacing = peek.at(at + 27, head[26]) if len(head) == 27 else b""
        start, end = at, at + 27 + len(lacing) + sum(lacing)
        if len(head) < 27 or len(lacing) < head[26] or end > n_bytes:
            fault = fault or AudioError("truncated (its last page is incomplete); copy it again")
            break
        at, page_serial = end, int.from_bytes(head[14:18], "little")
        if head[5] & _FIRST:
            is_audio = peek.at(start + 27 + len(lacing), 8).startswith(_AUDIO_IN_OGG)
            if not is_starting:
                serial = -1
            is_starting = True
            if is_audio and serial == -1:
                fault = fault or _unended(is_open)
                serial, is_open = page_serial, True
                n_page = _number(head)
                links.append([])
        else:
            is_starting = False
        if page_serial != serial:
            has_other = True
            continue
        if _number(head) != n_page:
            fault = fault or AudioError(f"damaged (page {n_page + 1} is missing); copy it again")
        n_page = _number(head) + 1 & 0xFFFF_FFFF
        append_range(links[-1], start, end)
        is_open = not head[5] & _LAST
    fault = fault or _unended(is_open)
    return Contents(links if len(links) > 1 or (has_other and links) else None, fault)


def _number(head: bytes) -> int:
    return int.from_bytes(head[18:22], "little")


def _unended(is_open: bool) -> AudioError | None:
    return AudioError("truncated (its last page is missing); copy it again") if is_open else None


def _next_page(peek: Peek, at: int) -> int:
    while at < peek.n_bytes:
        content = peek.at(at, BLOCK_BYTES)
        if (found := content.find(b"OggS")) >= 0:
            return at + found
        at += max(len(content) - 3, 1)
    return at
