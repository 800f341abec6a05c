"""The microphone, through PortAudio: read by a thread of its own, reopened when it is lost."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from speechcls.audio.samples import Samples
from speechcls.errors import AudioError, ConfigError, not_installed
from speechcls.live.sources import BLOCK_S, Block

WAITING_S = 10.0
"""Longest sound that may wait to be processed; further sound is lost."""
RETRY_S = 1.0
"""From one attempt to open a lost device to the next."""
SILENT_S = 5.0
"""A device that gives no sound for so long is reported."""
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
        raise ConfigError(not_installed("sounddevice", "mic"), field="microphone") from error
    except OSError as error:  # the wheel for Linux comes without PortAudio
        raise ConfigError(
            f"{error}; install it (on Debian: apt install libportaudio2)",
            field="microphone",
        ) from error
    return sounddevice


class InputDevice(NamedTuple):
    """An input device of this machine."""

    number: int
    name: str
    n_channels: int
    sample_rate: int
    """Hz."""
    is_default: bool


def list_devices() -> list[InputDevice]:
    """Return the input devices of this machine.

    Raises
    ------
    ConfigError
        When sounddevice or PortAudio is not installed.
    """
    library = load_sounddevice()
    default = library.default.device[0]
    return [
        InputDevice(
            i, d["name"], d["max_input_channels"], round(d["default_samplerate"]), i == default
        )
        for i, d in enumerate(library.query_devices())
        if d["max_input_channels"] > 0
    ]


class Microphone:
    """An input device at its own rate.

    A thread reads it, also while a block is processed. When the device is lost, it is opened again,
    every second until that succeeds. ``with`` ends the thread.

    Parameters
    ----------
    device : number or part of a name; None: the system's default

    Raises
    ------
    AudioError
        When there is no such device, or it cannot be opened at first.
    """

    def __init__(
        self, device: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._library = load_sounddevice()
        self._device = int(device) if device is not None and device.isdecimal() else device
        self._clock = clock
        self._waiting: queue.Queue[Block] = queue.Queue(round(WAITING_S / BLOCK_S))
        self._ended = threading.Event()
        # Warnings and losses that the next block will carry.
        self._warnings: list[str] = []
        self._lost_s = self._dropped_s = 0.0
        try:
            self._stream, self._rate = self._open()
        except (self._library.PortAudioError, ValueError) as error:
            raise AudioError(
                f"{error}; choose an input device of this machine",
                field="microphone",
            ) from error
        self._thread = threading.Thread(target=self._record, daemon=True, name="microphone")

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
        self._thread.join(2.0)  # a device that hangs must not block us

    def blocks(self) -> Iterator[Block]:
        """Yield the microphone's sound, without end."""
        while True:
            try:
                yield self._waiting.get(timeout=SILENT_S)
            except queue.Empty:
                warning = f"microphone: no sound for {SILENT_S:g} s; is it switched on?"
                yield Block(_NOTHING, self._rate, warnings=(warning,))

    def _open(self) -> tuple[Any, int]:
        rate = round(self._library.query_devices(self._device, "input")["default_samplerate"])
        stream = self._library.InputStream(
            samplerate=rate, device=self._device, channels=1, dtype="float32", latency="high"
        )
        stream.start()
        return stream, rate

    def _record(self) -> None:
        """Read the device until the end: the task of the thread."""
        while not self._ended.is_set():
            try:
                self.read()
            except self._library.PortAudioError as error:
                self._reopen(error)
        self._stream.close()

    def read(self) -> None:
        """Read the open device until it fails or is no longer wanted."""
        n_read, lost_s, began = 0, 0.0, self._clock()
        while not self._ended.is_set():
            read, has_overflowed = self._stream.read(max(1, round(BLOCK_S * self._rate)))
            n_read += len(read)
            warnings = []
            if has_overflowed:  # PortAudio does not tell how much it dropped: the clock does
                gap_s = max(0.0, self._clock() - began - n_read / self._rate - lost_s)
                lost_s += gap_s
                self._lost_s += gap_s
                warnings = [f"microphone: overrun; about {gap_s:.2f} s were lost"]
            self.put(read[:, 0].copy(), *warnings)

    def _reopen(self, error: Exception) -> None:
        """Try to open the device again until that succeeds, and report it."""
        began = self._clock()
        self.put(_NOTHING, f"microphone: lost ({error}); opening it again every {RETRY_S:g} s")
        self._stream.close()
        while not self._ended.wait(RETRY_S):
            try:
                # PortAudio knows only the devices that were there when it was started.
                self._library._terminate()
                self._library._initialize()
                self._stream, self._rate = self._open()
            except (self._library.PortAudioError, ValueError):
                continue
            gap_s = self._clock() - began
            self._lost_s += gap_s
            self.put(_NOTHING, f"microphone: back after {gap_s:.1f} s, which were lost")
            return

    def put(self, samples: Samples, *warnings: str) -> None:
        """Queue a block; if the queue is full it is dropped, which the next block reports."""
        self._warnings += warnings
        reported = list(self._warnings)
        if self._dropped_s:
            reported.append(f"microphone: too slow; {self._dropped_s:.2f} s were lost")
        lost_s = self._lost_s + self._dropped_s
        try:
            self._waiting.put_nowait(Block(samples, self._rate, lost_s, tuple(reported)))
        except queue.Full:
            self._dropped_s += len(samples) / self._rate
            return
        self._warnings, self._lost_s, self._dropped_s = [], 0.0, 0.0
