"""What tests of recordings share: pipes, blocks, and MP3s frame by frame."""

import io

import numpy as np

from speechcls.audio.blocks import open_recording
from speechcls.errors import AudioError

_KBITS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


class Pipe(io.RawIOBase):
    """What can only be read on, and gives a few bytes at a time."""

    def __init__(self, content, most=1_000):
        self._content, self._most = io.BytesIO(content), most

    def readable(self):
        return True

    def seekable(self):
        return False

    def readinto(self, buffer):
        piece = self._content.read(min(len(buffer), self._most))
        buffer[: len(piece)] = piece
        return len(piece)


def read_blocks(source, rate=16_000, block_s=0.1, **options):
    """All of a recording until its end or its fault, that fault, and the reader."""
    blocks, fault = [np.empty(0, dtype=np.float32)], ""
    try:
        with open_recording(source, rate, **options) as recording:
            for block in recording.blocks(block_s):
                blocks.append(block)
    except AudioError as error:
        fault = str(error).removeprefix("stream: ")
        if len(blocks) == 1:
            return blocks[0], fault, None
    return np.concatenate(blocks), fault, recording


def mp3_frames(content):
    """The frames of an MP3 of layer III, in order."""
    frames, at = [], 0
    while at + 4 <= len(content) and content[at] == 255 and content[at + 1] & 0xE0 == 0xE0:
        version = content[at + 1] >> 3 & 3
        kbits = _KBITS[min(version, 3) if version == 3 else 2][content[at + 2] >> 4]
        rate = _RATES[version][content[at + 2] >> 2 & 3]
        padding = content[at + 2] >> 1 & 1
        n_bytes = (144 if version == 3 else 72) * kbits * 1_000 // rate + padding
        frames.append(content[at : at + n_bytes])
        at += n_bytes
    return frames


def without_info(frames):
    """The frames that hold sound."""
    return [frame for frame in frames if b"Xing" not in frame[:60] and b"Info" not in frame[:60]]
