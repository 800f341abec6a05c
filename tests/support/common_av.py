"""Files that PyAV writes."""

import io
from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av")
RATE = 16_000


def add_pictures(out, stream):
    """A second of black."""
    stream.width = stream.height = 64
    for i in range(10):
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
        frame.pts, frame.time_base = i, Fraction(1, 10)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def encode(samples, container, codec, rate=RATE, layout="mono", options=None, video=False):
    """The bytes of a file that PyAV wrote."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as out:
        pictures = out.add_stream("mpeg4", rate=10) if video else None
        stream = out.add_stream(codec, rate=rate, layout=layout)
        if codec == "wmav2":
            stream.bit_rate = 64_000
        if pictures is not None:
            add_pictures(out, pictures)
        packed = np.ascontiguousarray(np.atleast_2d(samples).T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, "flt", layout)
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        resampler = av.AudioResampler(stream.format, layout, rate)
        for converted in resampler.resample(frame):
            fifo.write(converted)
        size, n_written = stream.codec_context.frame_size or 1_024, 0
        while (piece := fifo.read(size, partial=True)) is not None:
            piece.pts, piece.time_base = n_written, Fraction(1, rate)
            n_written += piece.samples
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()
