"""Compare what ``read_native`` decodes with PyAV's decode, over a folder of any files.

Usage: python benchmarks/decode_differences.py FOLDER [--table FILE.tsv]

Needs PyAV (``av``). The table lists every file; what is printed is a summary by container and
codec, and the files that differ. A difference is no fault by itself: which of the two is right is
judged by the rules of the format.
"""

import argparse
import csv
import multiprocessing
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
import soxr

from speechcls.audio.decode import read_native
from speechcls.audio.samples import Samples
from speechcls.errors import AudioError

TIME_LIMIT_S = 120.0
LONGEST_S = 3_600.0
"""PyAV's decode stops there."""
SAME_LENGTH_S = 0.06
"""Encoder delay and padding, which one of two decoders may leave out, are within this length."""
SAME_RATIO = 0.01
"""Largest RMS difference of two decodes of the same sound, per RMS of the sound (-40 dB)."""
QUIETEST = 1e-4
"""RMS differences up to this are those of 16-bit samples."""
LAG_S = 0.25
COMMON = 5
"""Kinds with fewer files share one line of the summary."""
ALIGNED_S = 30.0
"""Length of the sound that is compared to find the lag."""


@dataclass
class Decoded:
    """What a decoder makes of a file: samples, or an error."""

    samples: Samples | None = None
    """(n_frames, n_channels) in [-1, 1]."""
    rate: int = 0
    """Hz."""
    kind: str = ""
    """Container and codec."""
    fault: str = ""
    """Why there are no samples, or what was skipped."""

    @property
    def duration_s(self) -> float:
        """0 where there are no samples."""
        return 0.0 if self.samples is None else len(self.samples) / self.rate


@dataclass
class Row:
    """One line of the table."""

    path: str
    kind: str
    result: str
    """both, only PyAV, only speechcls, neither, or crash."""
    differs: str = ""
    """"length", "samples", both or neither."""
    speechcls_s: float = 0.0
    pyav_s: float = 0.0
    lag: int = 0
    """Samples by which PyAV's decode is late."""
    max_difference: float = 0.0
    rms_difference: float = 0.0
    rms: float = 0.0
    """Of the sound itself."""
    speechcls: str = ""
    """Rate and channels, or the error."""
    pyav: str = ""
    """Rate and channels, or the error."""


def main() -> None:
    """Print the summary; list the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", type=Path, help="write one line a file, tab-separated")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.folder.rglob("*") if path.is_file())
    rows = []
    for i, path in enumerate(paths):
        rows.append(compare_isolated(path, str(path.relative_to(arguments.folder))))
        if sys.stderr.isatty():
            print(f"\r{i + 1} of {len(paths)}", end="", file=sys.stderr)
    if arguments.table:
        with arguments.table.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(field.name for field in fields(Row))
            writer.writerows([getattr(row, field.name) for field in fields(Row)] for row in rows)
    print(summary(rows))
    print(differences(rows))


def compare_isolated(path: Path, name: str) -> Row:
    """Return the row of a file, decoded in a process of its own, which it may crash."""
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_send, args=(sender, path, name))
    process.start()
    sender.close()
    try:
        row: Row = receiver.recv() if receiver.poll(TIME_LIMIT_S) else Row(name, "?", "crash")
    except EOFError:
        row = Row(name, "?", "crash")
    process.kill()
    process.join()
    return row


def _send(sender: Connection, path: Path, name: str) -> None:
    sender.send(compare(path, name))


def compare(path: Path, name: str) -> Row:
    """Return the row of a file."""
    other, own = decode_with_pyav(path), decode_with_speechcls(path)
    kind = other.kind or "unknown to PyAV"
    if own.samples is None or other.samples is None:
        who = {
            (True, True): "neither",
            (True, False): "only PyAV",
            (False, True): "only speechcls",
        }[own.samples is None, other.samples is None]
        row = Row(name, kind, who)
    else:
        row = Row(name, kind, "both")
        measure(row, own, other)
    row.speechcls_s, row.pyav_s = round(own.duration_s, 4), round(other.duration_s, 4)
    row.speechcls, row.pyav = describe(own), describe(other)
    return row


def describe(decoded: Decoded) -> str:
    """Return rate and channels, or the error."""
    if decoded.samples is None:
        return decoded.fault
    about = f"{decoded.rate} Hz, {decoded.samples.shape[1]} ch"
    return f"{about}, {decoded.fault}" if decoded.fault else about


def measure(row: Row, own: Decoded, other: Decoded) -> None:
    """Fill in how two decodes of a file differ, at one rate and aligned."""
    assert own.samples is not None
    assert other.samples is not None
    # Decoders at two rates differ near the lower one's limit.
    rate = own.rate if own.rate == other.rate else min(own.rate, other.rate) // 2
    first, second = at_rate(own.samples, own.rate, rate), at_rate(other.samples, other.rate, rate)
    if first.shape[1] != second.shape[1]:
        first, second = (x.mean(axis=1, keepdims=True) for x in (first, second))
    row.lag = lag_of(first.mean(axis=1), second.mean(axis=1), rate)
    first, second = first[max(-row.lag, 0) :], second[max(row.lag, 0) :]
    n = min(len(first), len(second))
    difference = (first[:n] - second[:n]).astype(np.float64)
    sound = second[:n].astype(np.float64)
    if n:
        row.max_difference = float(f"{np.abs(difference).max():.3g}")
        row.rms_difference = float(f"{np.sqrt(np.mean(difference**2)):.3g}")
        row.rms = float(f"{np.sqrt(np.mean(sound**2)):.3g}")
    differs = []
    if own.rate != other.rate:
        row.lag = round(row.lag * other.rate / rate)
    if abs(own.duration_s - other.duration_s) > SAME_LENGTH_S:
        differs.append("length")
    if not row.rms_difference <= max(QUIETEST, SAME_RATIO * row.rms):
        differs.append("samples")
    row.differs = " and ".join(differs)


def at_rate(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """Return samples (n, n_channels) at another rate."""
    if from_rate == to_rate:
        return samples
    resampled: Samples = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    return resampled


def lag_of(first: Samples, second: Samples, rate: int) -> int:
    """Return by how many samples ``second`` (m,) is later than ``first`` (n,), both mono.

    It is where their correlation is largest, at most ``LAG_S`` either way.
    """
    first, second = (np.nan_to_num(x[: int(ALIGNED_S * rate)]) for x in (first, second))
    n_most = min(int(LAG_S * rate), max(len(first), len(second)))
    size = 1 << (len(first) + len(second)).bit_length()
    spectrum = np.fft.rfft(second, size) * np.conj(np.fft.rfft(first, size))
    correlation = np.fft.irfft(spectrum, size)
    lags = np.r_[0 : n_most + 1, -n_most:0]
    values = correlation[lags]
    best = int(np.argmax(values))
    # Silence correlates with itself anywhere.
    return int(lags[best]) if values[best] > values[0] * 1.001 + 1e-9 else 0


def decode_with_speechcls(path: Path) -> Decoded:
    """Return what ``read_native`` makes of a file."""
    try:
        samples, rate = read_native(path)
    except AudioError as error:
        return Decoded(fault=str(error).removeprefix(f"{path}: "))
    except Exception as error:  # the very thing that is looked for
        return Decoded(fault=f"{type(error).__name__}: {error}"[:200])
    return Decoded(samples, rate)


def decode_with_pyav(path: Path) -> Decoded:
    """Return what PyAV makes of the first audio stream; packets with errors are skipped."""
    result, pieces, n_bad, n_frames = Decoded(), [], 0, 0
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            result.kind = container.format.name.split(",")[0]
            if not container.streams.audio:
                return Decoded(kind="no audio stream", fault="no audio stream")
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                return Decoded(kind="no decoder in FFmpeg", fault="no decoder in FFmpeg")
            result.kind += f" {stream.codec_context.name.removesuffix('float')}"
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    n_bad += 1
                    continue
                for frame in frames:
                    result.rate = result.rate or frame.sample_rate
                    pieces.append(floats(frame))
                    n_frames += frame.samples
                if result.rate and n_frames > LONGEST_S * result.rate:
                    result.fault = f"longer than {LONGEST_S:g} s"
                    break
    except (av.FFmpegError, ValueError, OSError, NotImplementedError) as error:
        result.fault = f"{type(error).__name__}: {error}".split(": '")[0]
    if pieces and result.rate:
        n_channels = pieces[0].shape[1]
        same = [piece for piece in pieces if piece.shape[1] == n_channels]
        result.samples = np.concatenate(same)
    if n_bad:
        result.fault = f"{n_bad} packets not decoded; {result.fault}".removesuffix("; ")
    return result


def floats(frame: av.AudioFrame) -> Samples:
    """Return a frame's samples (n, n_channels) in [-1, 1]."""
    if frame.format.is_planar and frame.layout.nb_channels >= 8:
        # Of so many planes PyAV 18 does not find the last one, and crashes.
        packed = av.AudioResampler(frame.format.packed, frame.layout, frame.sample_rate)
        frame = packed.resample(frame)[0]
    array = frame.to_ndarray()
    samples = array.T if frame.format.is_planar else array.reshape(frame.samples, -1)
    zero, scale = {"u1": (128.0, 2.0**7), "i2": (0.0, 2.0**15), "i4": (0.0, 2.0**31)}.get(
        samples.dtype.str[1:], (0.0, 1.0)
    )
    return ((samples.astype(np.float64) - zero) / scale).astype(np.float32)


def summary(rows: Sequence[Row]) -> str:
    """Return a Markdown table: one line for each container and codec, most files first."""
    by_kind = defaultdict(list)
    for row in rows:
        by_kind[row.kind].append(row)
    lines = [
        "| container and codec | files | read by both | differ | only PyAV | only speechcls"
        " | neither | median difference of length, s |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    common = sorted(by_kind, key=lambda kind: (-len(by_kind[kind]), kind))
    rare = [kind for kind in common if len(by_kind[kind]) < COMMON]
    kinds = [(kind, by_kind[kind]) for kind in common[: len(common) - len(rare)]]
    others = [row for kind in rare for row in by_kind[kind]]
    for kind, of_kind in [*kinds, (f"{len(rare)} others", others), ("all", list(rows))]:
        both = [row for row in of_kind if row.result == "both"]
        apart = [abs(row.speechcls_s - row.pyav_s) for row in both]
        counts = [sum(row.result == who for row in of_kind) for who in _ONE_SIDED]
        median = f"{statistics.median(apart):.3f}" if apart else ""
        n_differ = sum(bool(row.differs) for row in both)
        cells = [kind, len(of_kind), len(both), n_differ, *counts, median]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


_ONE_SIDED = ("only PyAV", "only speechcls", "neither")


def differences(rows: Sequence[Row]) -> str:
    """Return the files that differ, that only one of the two reads, or that crash."""
    lines = []
    for row in rows:
        if row.result == "both" and row.differs:
            lines.append(
                f"{row.path} ({row.kind}): {row.differs}: {row.speechcls_s:.3f} s"
                f" ({row.speechcls}), PyAV {row.pyav_s:.3f} s ({row.pyav}); RMS difference"
                f" {row.rms_difference:g} of {row.rms:g}, lag {row.lag}"
            )
        elif row.result in ("only PyAV", "only speechcls", "crash"):
            lines.append(
                f"{row.path} ({row.kind}): {row.result}: {row.speechcls or row.speechcls_s};"
                f" PyAV: {row.pyav or row.pyav_s}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
