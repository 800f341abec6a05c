"""The microphone, at the boundary of sounddevice: what it gives, loses, and says about it."""

import sys
import types
from collections import deque

import numpy as np
import pytest

from speechcls.errors import AudioError, ConfigError
from speechcls.live import microphone
from speechcls.live.microphone import Microphone, list_devices, load_sounddevice

RATE = 16_000
N = 640  # samples of a block


class PortAudioError(Exception):
    pass


class Fake(types.ModuleType):
    """sounddevice with one device that plays a script: samples, (samples, True), or an error."""

    PortAudioError = PortAudioError

    def __init__(self, script, refusals=0):
        super().__init__("sounddevice")
        self.script, self.refusals = deque(script), refusals
        self.default = types.SimpleNamespace(device=[1, 0])
        self.n_opened = 0
        self.now = 0.0
        self.rates = deque([RATE])

    def query_devices(self, device=None, kind=None):
        devices = [
            {"name": "out", "max_input_channels": 0, "default_samplerate": 44_100.0},
            {"name": "USB mic", "max_input_channels": 2, "default_samplerate": 48_000.0},
        ]
        if kind is None:
            return devices
        if device not in (None, 1, "USB"):
            raise ValueError(f"No input device matching {device!r}")
        rate = self.rates.popleft() if len(self.rates) > 1 else self.rates[0]
        return devices[1] | {"default_samplerate": float(rate)}

    def _terminate(self):
        pass

    _initialize = _terminate

    def InputStream(self, **options):
        if self.n_opened and self.refusals:
            self.refusals -= 1
            self.now += 1.0
            raise PortAudioError("Device unavailable")
        assert options["channels"] == 1
        self.n_opened += 1
        return self

    def start(self):
        pass

    close = start

    def read(self, n):
        if not self.script:
            raise Ended
        step = self.script.popleft()
        if isinstance(step, Exception):
            raise step
        samples, has_overflowed = step if isinstance(step, tuple) else (step, False)
        self.now += len(samples) / RATE
        if callable(getattr(self, "on_read", None)):
            self.on_read()
        return samples[:, None], has_overflowed


class Ended(PortAudioError):
    """The script is over."""


@pytest.fixture
def plug(monkeypatch):
    """``plug(*script)``: put a fake in sounddevice's place."""

    def put(*script, **options):
        fake = Fake(script, **options)
        monkeypatch.setitem(sys.modules, "sounddevice", fake)
        return fake

    monkeypatch.setattr(microphone, "RETRY_S", 0.0)
    return put


def block(value):
    return np.full(N, value, dtype=np.float32)


def record(fake, n_blocks, device=None):
    with Microphone(device, clock=lambda: fake.now) as source:
        blocks = source.blocks()
        return [next(blocks) for _ in range(n_blocks)]


def test_what_the_device_gives_comes_in_order(plug):
    recorded = record(plug(block(0.1), block(0.2), block(0.3)), 3)
    assert [b.samples[0] for b in recorded] == pytest.approx([0.1, 0.2, 0.3])
    assert [(b.rate, b.lost_s, b.warnings, len(b.samples)) for b in recorded] == [
        (RATE, 0, (), N)
    ] * 3


def test_an_overrun_is_reported_with_what_it_cost(plug):
    fake = plug(block(0.1), (block(0.2), True), block(0.3))
    step = iter([0.0, 0.5, 0.0])
    fake.on_read = lambda: setattr(fake, "now", fake.now + next(step))
    recorded = record(fake, 3)
    assert [b.lost_s for b in recorded] == pytest.approx([0, 0.5, 0])
    assert recorded[1].warnings == ("microphone: overrun; about 0.50 s were lost",)


def test_an_unplugged_device_is_opened_again(plug):
    fake = plug(block(0.1), PortAudioError("Device gone"), block(0.2), refusals=3)
    fake.rates = deque([RATE, RATE, RATE, RATE, 8_000])
    recorded = record(fake, 4)
    assert [len(b.samples) for b in recorded] == [N, 0, 0, N]
    assert recorded[1].warnings == ("microphone: lost (Device gone); opening it again every 0 s",)
    assert recorded[2].warnings == ("microphone: back after 3.0 s, which were lost",)
    assert [b.lost_s for b in recorded] == [0, 0, 3.0, 0]
    assert recorded[3].samples[0] == pytest.approx(0.2)
    assert recorded[3].rate == 8_000  # what the system took for the lost one
    assert fake.n_opened >= 2


def test_what_cannot_wait_is_lost_and_reported(plug, monkeypatch):
    monkeypatch.setattr(microphone, "WAITING_S", 3 * 0.04)
    fake = plug(*(block(k / 10) for k in range(6)))
    source = Microphone(clock=lambda: fake.now)
    with pytest.raises(Ended):
        source.read()  # nobody listens: three blocks wait, three are lost
    fake.script.append(block(0.9))
    blocks = source.blocks()
    recorded = [next(blocks) for _ in range(3)]
    with pytest.raises(Ended):
        source.read()
    recorded.append(next(blocks))
    assert [b.samples[0] for b in recorded] == pytest.approx([0.0, 0.1, 0.2, 0.9])
    assert [b.lost_s for b in recorded] == pytest.approx([0, 0, 0, 0.12])
    assert recorded[3].warnings == ("microphone: too slow; 0.12 s were lost",)


def test_warnings_that_cannot_wait_are_reported_later(plug, monkeypatch):
    monkeypatch.setattr(microphone, "WAITING_S", 0.04)
    fake = plug(block(0.1))
    source = Microphone(clock=lambda: fake.now)
    source.put(block(0.1))
    source.put(block(0.2), "first")
    source.put(block(0.3), "second")
    blocks = source.blocks()
    next(blocks)
    source.put(block(0.4))
    reported = next(blocks)
    assert reported.warnings == ("first", "second", "microphone: too slow; 0.08 s were lost")
    assert reported.lost_s == pytest.approx(0.08)


def test_a_device_that_gives_nothing_is_reported(plug, monkeypatch):
    monkeypatch.setattr(microphone, "SILENT_S", 0.0)
    fake = plug()
    source = Microphone(clock=lambda: fake.now)
    assert "no sound for" in next(source.blocks()).warnings[0]


def test_a_device_is_named_by_number_or_by_a_part_of_its_name(plug):
    for device in ("1", "USB"):
        assert len(record(plug(block(0.1)), 1, device)) == 1
    plug()
    with pytest.raises(AudioError, match="No input device matching 'nix'; choose an input device"):
        Microphone("nix")


def test_only_devices_with_inputs_are_listed(plug):
    plug()
    assert list_devices() == [(1, "USB mic", 2, 48_000, True)]


def test_without_sounddevice_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ConfigError, match=r"pip install 'speechcls\[mic\]'"):
        load_sounddevice()
