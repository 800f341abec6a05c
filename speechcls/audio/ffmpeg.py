"""Recordings that libsndfile cannot open, by PyAV, which brings ffmpeg's decoders."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from speechcls.audio.samples import PieceReader, Samples, read_past
from speechcls.audio.sniff import Kind
from speechcls.audio.wav import check_format
from speechcls.errors import AudioError
from speechcls.formats.ends import find_cut, is_encrypted, is_fragmented
from speechcls.formats.splice import SIZE_NOTE

if TYPE_CHECKING:
    from av import AudioCodecContext, AudioFrame, AudioLayout, AudioStream
    from av.container import InputContainer

_TOLERANCE_S = 0.01
"""Durations are told in whole microseconds, or other small units."""
_ENCRYPTED = "an MPEG-4 file that is encrypted; export it without protection"
_MAX_PLANES = 8
"""From so many channels on PyAV 18 reads beyond the planes of a frame, and crashes."""
_TIMED = ("ape", "flac", "tta", "tak", "wv", "mpc")
"""Formats that tell their number of samples; others are judged by their bytes."""
_DECODERS = {"amrnb": "libopencore_amrnb", "amrwb": "libopencore_amrwb", "opus": "libopus"}
"""Decoders that do what the standard says, where ffmpeg's own do not: silence in AMR, SILK."""
_SCALES = {"u8": 1 << 7, "s16": 1 << 15, "s32": 1 << 31, "s64": 1 << 63, "flt": 1, "dbl": 1}
"""Full scale, by ffmpeg's names of sample formats without the p of planar."""


class FfmpegSound:
    """The first audio stream of a file, decoded by ffmpeg; see ``decode.Sound``.

    Parameters
    ----------
    file : it has to seek and to stay open
    kind : what it is, by its first bytes: ffmpeg does not guess, since among what it might take a
        file for are lists of other files and of addresses

    Raises
    ------
    AudioError
        When PyAV is missing, or the file holds no sound that can be decoded; it has no subject.
    """

    def __init__(self, file: BinaryIO, kind: Kind) -> None:
        try:
            import av
        except ImportError as error:
            raise AudioError(
                f"{kind.name}, which takes the package av; pip install 'speechcls[formats]', or"
                " convert it: ffmpeg -i x.m4a x.wav"
            ) from error
        self._kind, self._file = kind, file
        self._n_bytes = file.seek(0, 2)
        self.notes: list[str] = []
        self.fault = find_cut(file, kind.demuxer, self._n_bytes)
        file.seek(0)
        try:
            self._container: InputContainer = av.open(
                file, "r", format=kind.demuxer, metadata_errors="replace"
            )
        except (av.FFmpegError, OSError, OverflowError, ValueError) as error:
            raise self.fault or self._failure(error) from error
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        """Decode the first frame, which alone tells the rate."""
        if not self._container.streams.audio:
            raise AudioError(f"{self._kind.name} without sound; name another")
        stream = self._container.streams.audio[0]
        if self.fault and self._is_all_there(stream):
            self.fault = None
            self.notes.append(SIZE_NOTE)
        self._n_bad = 0
        """Packets that could not be decoded."""
        frames = self._decode(stream)
        first = next(frames, None)
        if first is None:
            raise self.fault or self._failure(None)
        self.rate, self.n_channels = first.sample_rate, first.layout.nb_channels
        check_format(self.rate, self.n_channels)
        self.is_float = stream.codec_context.name.startswith(("pcm_f32", "pcm_f64"))
        self.n_frames: int | None = None
        self._reader = PieceReader(self._pieces(first, frames), self.n_channels)
        self._n_read = 0

    def _is_all_there(self, stream: "AudioStream") -> bool:
        """Whether every sample in the table of an MPEG-4 file is within the file."""
        entries = stream.index_entries
        if self._kind.demuxer != "mov" or not stream.frames or not len(entries):
            return False
        at = self._file.tell()
        is_one_table = not is_fragmented(self._file, self._n_bytes)
        self._file.seek(at)
        return is_one_table and all(one.pos + one.size <= self._n_bytes for one in entries)

    def _is_encrypted(self) -> bool:
        return self._kind.demuxer == "mov" and is_encrypted(self._file)

    def _failure(self, error: Exception | None) -> AudioError:
        if self._is_encrypted():
            return AudioError(_ENCRYPTED)
        if error is None:
            return AudioError(
                f"{self._kind.name} of which nothing can be decoded, damaged or truncated; copy it"
                " again"
            )
        reason = getattr(error, "strerror", None) or str(error)
        return AudioError(f"{self._kind.name} that cannot be decoded ({reason}); export it again")

    def _decode(self, stream: "AudioStream") -> "Iterator[AudioFrame]":
        """Yield every frame that can be decoded."""
        import av

        n_bad = n_good = 0
        decoder = self._decoder(stream)
        packets = self._container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, ValueError):
                break
            if packet is None:
                break
            try:
                frames = decoder.decode(packet)
            except (av.FFmpegError, ValueError):
                n_bad += n_good > 0  # decoders may need some packets to begin with
                continue
            for frame in frames:
                n_good += 1
                self._n_bad += n_bad  # those at the end may be tags
                n_bad = 0
                yield frame

    def _decoder(self, stream: "AudioStream") -> "AudioCodecContext":
        """Return what makes frames of packets."""
        import av

        own = stream.codec_context
        if own is None:
            raise AudioError(
                f"{self._kind.name} with sound of a kind that cannot be decoded; export it again"
            )
        if own.name not in _DECODERS:
            return own
        try:
            decoder = av.CodecContext.create(_DECODERS[own.name], "r")
        except ValueError:  # not among those of this build
            return own
        decoder = cast("AudioCodecContext", decoder)
        decoder.extradata = own.extradata
        decoder.sample_rate, decoder.layout = own.sample_rate, own.layout
        return decoder

    def read(self, n_frames: int) -> Samples:
        """Return the next (n_frames, n_channels), fewer only at the end."""
        samples = self._reader.read(n_frames)
        self._n_read += len(samples)
        if len(samples) < n_frames:
            self.fault = self.fault or self._find_fault()
        return samples

    def _pieces(self, frame: "AudioFrame", frames: "Iterator[AudioFrame]") -> Iterator[Samples]:
        """Yield the samples of each frame at the rate and with the channels of the first one."""
        first = frame
        yield _samples_of(first)
        for frame in frames:
            if frame.sample_rate == self.rate and frame.layout.nb_channels == self.n_channels:
                yield _samples_of(frame)
            else:
                for one in _converted(frame, first.format.packed.name, first.layout, self.rate):
                    yield _samples_of(one)

    def _find_fault(self) -> AudioError | None:
        """Return what is wrong at the end, by the duration that the header promises."""
        promised_s, read_s = self._promised_s(), self._n_read / self.rate
        stream = self._container.streams.audio[0]
        if self._kind.demuxer == "mov" and stream.duration and stream.time_base:
            own_s = float(stream.duration * stream.time_base)
            if read_s < own_s / 2:  # a decoder that does not know all of it
                return AudioError(
                    f"only {read_s:.2f} of {own_s:.2f} s can be decoded; convert it to WAV"
                )
        if self._n_bad and self._is_encrypted():
            return AudioError(_ENCRYPTED)
        if self._n_bad:
            counts = f"{self._n_bad} of its packets cannot be decoded"
            return AudioError(f"damaged ({counts}); copy it again")
        if read_s < promised_s - _TOLERANCE_S:
            return AudioError(f"truncated ({read_s:.2f} of {promised_s:.2f} s); copy it again")
        return None

    def _promised_s(self) -> float:
        """Return the duration that the header promises, 0 where it does not."""
        stream = self._container.streams.audio[0]
        if self._kind.demuxer not in _TIMED or not stream.duration or not stream.time_base:
            return 0.0
        return float(stream.duration * stream.time_base)

    def skip(self, n_frames: int) -> int:
        """Pass over frames; return how many there were."""
        return read_past(self.read, n_frames, self.rate)

    def close(self) -> None:
        """Release the decoder."""
        self._container.close()


def _converted(
    frame: "AudioFrame", format: str, layout: "AudioLayout", rate: int
) -> "list[AudioFrame]":
    """Return a frame as frames of another format."""
    import av

    resampler = av.AudioResampler(format, layout, rate)
    return [*resampler.resample(frame), *resampler.resample(None)]


def _samples_of(frame: "AudioFrame") -> Samples:
    """Return the samples (n, n_channels) of a frame in [-1, 1]."""
    if frame.format.is_planar and frame.layout.nb_channels >= _MAX_PLANES:
        packed = _converted(frame, frame.format.packed.name, frame.layout, frame.sample_rate)
        return np.concatenate([_samples_of(one) for one in packed])
    values, n_channels = frame.to_ndarray(), frame.layout.nb_channels
    values = values.T if frame.format.is_planar else values.reshape(-1, n_channels)
    scale = _SCALES[frame.format.name.removesuffix("p")]
    if scale == 1:
        return values.astype(np.float32)
    offset = scale if values.dtype == np.uint8 else 0
    samples: Samples = (values.astype(np.float64) - offset).astype(np.float32)
    return samples * np.float32(1 / scale)
