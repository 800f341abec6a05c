"""The microphone, through PortAudio: heard by a thread of its own, opened again when it is lost."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np

from speechcls.audio.samples import Samples
from speechcls.errors import AudioError, ConfigError
from speechcls.live.sources import BLOCK_S, Block

WAITING_S = 10.0
"""Sound that may wait to be heard; what comes on top of it is lost."""
_RETRY_S = 1.0
_SILENT_S = 5.0
"""A device that gives nothing for so long is reported."""
_NOTHING: Samples = np.empty(0, dtype=np.float32)


def load_sounddevice() -> Any:
    """Return the library that reads microphones.

    Raises
    ------
    ConfigError
        When it, or PortAudio, is not installed.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise ConfigError(
            "microphone: sounddevice is not installed; run pip install 'speechcls[mic]', or pipe"
            " sound in: arecord -f S16_LE -r 16000 | speechcls listen -"
        ) from error
    except OSError as error:  # the wheel for Linux comes without PortAudio
        raise ConfigError(
            f"microphone: {error}; install it (on Debian: apt install libportaudio2), or pipe sound"
            " in: arecord -f S16_LE -r 16000 | speechcls listen -"
        ) from error
    return sounddevice


def list_devices() -> list[tuple[int, str, int, int, bool]]:
    """Return number, name, channels, rate in Hz and whether it is the default, a device each."""
    library = load_sounddevice()
    default = library.default.device[0]
    return [
        (i, d["name"], d["max_input_channels"], round(d["default_samplerate"]), i == default)
        for i, d in enumerate(library.query_devices())
        if d["max_input_channels"] > 0
    ]


class Microphone:
    """An input device at its own rate.

    A thread reads it, so that it is heard while a block is worked on. When it is lost, it is opened
    again, once a second until that succeeds. ``with`` ends the thread.

    Parameters
    ----------
    device : number or part of a name; None: the system's default

    Raises
    ------
    AudioError
        When there is no such device, or it cannot be opened in the beginning.
    """

    def __init__(
        self, device: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._library = load_sounddevice()
        self._device = int(device) if device is not None and device.isdecimal() else device
        self._clock = clock
        self._waiting: queue.Queue[Block] = queue.Queue(round(WAITING_S / BLOCK_S))
        self._ended = threading.Event()
        # What the next block that can wait has to tell.
        self._news: list[str] = []
        self._lost_s = self._dropped_s = 0.0
        try:
            self._stream, self._rate = self._open()
        except (self._library.PortAudioError, ValueError) as error:
            raise AudioError(
                f"microphone: {error}; choose another --device (speechcls listen --list-devices)"
            ) from error
        self._thread = threading.Thread(target=self._hear, daemon=True, name="microphone")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(2.0)  # a device that hangs must not hold us up

    def blocks(self) -> Iterator[Block]:
        """Yield what the microphone hears, without end."""
        while True:
            try:
                yield self._waiting.get(timeout=_SILENT_S)
            except queue.Empty:
                warnings = f"microphone: no sound for {_SILENT_S:g} s; is it switched on?"
                yield Block(_NOTHING, self._rate, warnings=(warnings,))

    def _open(self) -> tuple[Any, int]:
        rate = round(self._library.query_devices(self._device, "input")["default_samplerate"])
        stream = self._library.InputStream(
            samplerate=rate, device=self._device, channels=1, dtype="float32", latency="high"
        )
        stream.start()
        return stream, rate

    def _hear(self) -> None:
        """Read until the end; the thread's whole life."""
        while not self._ended.is_set():
            try:
                self._read_on()
            except self._library.PortAudioError as error:
                self._reopen(error)
        self._stream.close()

    def _read_on(self) -> None:
        """Read one opened device until it fails or nobody listens any more."""
        n_read, lost_s, began = 0, 0.0, self._clock()
        while not self._ended.is_set():
            read, has_overflowed = self._stream.read(max(1, round(BLOCK_S * self._rate)))
            n_read += len(read)
            warnings = []
            if has_overflowed:  # PortAudio does not say how much it threw away, the clock does
                gap_s = max(0.0, self._clock() - began - n_read / self._rate - lost_s)
                lost_s += gap_s
                self._lost_s += gap_s
                warnings = [f"microphone: overrun; about {gap_s:.2f} s were not heard"]
            self._put(read[:, 0].copy(), *warnings)

    def _reopen(self, error: Exception) -> None:
        """Try to open the device again until that succeeds; say what happened."""
        began = self._clock()
        self._put(_NOTHING, f"microphone: lost ({error}); opening it again every {_RETRY_S:g} s")
        self._stream.close()
        while not self._ended.wait(_RETRY_S):
            try:
                # PortAudio knows the devices only that were there when it was started.
                self._library._terminate()
                self._library._initialize()
                self._stream, self._rate = self._open()
            except (self._library.PortAudioError, ValueError):
                continue
            deaf_s = self._clock() - began
            self._lost_s += deaf_s
            self._put(_NOTHING, f"microphone: back after {deaf_s:.1f} s in which nothing was heard")
            return

    def _put(self, samples: Samples, *warnings: str) -> None:
        """Let a block wait to be heard; where too many wait it is lost, as the next one tells."""
        self._news += warnings
        told = list(self._news)
        if self._dropped_s:
            told.append(f"microphone: held up; {self._dropped_s:.2f} s were not heard")
        lost_s = self._lost_s + self._dropped_s
        try:
            self._waiting.put_nowait(Block(samples, self._rate, lost_s, tuple(told)))
        except queue.Full:
            self._dropped_s += len(samples) / self._rate
            return
        self._news, self._lost_s, self._dropped_s = [], 0.0, 0.0
