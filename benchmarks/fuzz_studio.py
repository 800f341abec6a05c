"""Requests for ``fuzz_serve`` to the page of a folder, and what they may touch on the disk."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import soundfile
from fuzz_requests import Input, Rng, body_of, choose, http, mutate, stream_of

from speechcls.artifact.calibration import load_calibration, save_calibration
from speechcls.artifact.store import load_artifact
from speechcls.audio.samples import Samples, to_pcm
from speechcls.audio.wav import wav_bytes
from speechcls.errors import SpeechclsError
from speechcls.studio.project import OWN

RATE = 16_000
DATA, MODELS = "words", "models"
"""Folders of the page, in the one that the server runs in."""
OWN_MODEL = "mine"
"""A model in ``MODELS`` that the page may change."""
SOUND_WORD = "sound"
"""A word that no request names, to see whether the page still works."""
_TINY = Path(__file__).parent.parent / "models" / "commands-tiny"
_SECRET = np.random.default_rng(7).bytes(64)
"""What no answer may hold."""
_TORCH = "torchinductor_"
"""Begins the name of an empty folder that torch makes when it trains."""
_BEING_WRITTEN = ".speechcls-"
_LONG_AGO_NS = 10**18
_WORDS = ("yes", "no", "up", "left", "_unknown_")
_SPEAKERS = ("ann", "bob", "\u00c4nn", "\u5c0f\u660e", "a b")
_HOSTILE = (
    *("../secret.wav", "..", ".", "/", "", " ", "/etc/passwd", "..\\secret.wav", "../../secret"),
    *("../beside/yes/ann_nohash_0.wav", "yes/../../secret.wav", ".studio", ".studio/trash", "~"),
    *("trash", "test", "train", "_silence_", "_background_noise_", "__MACOSX", "CON", "C:\\x"),
    *("a\0b", "a\nb", "\x1b[31m", "=1+1", "<img src=x onerror=alert(1)>", "\u202eab", "%2e%2e"),
    *("\ud800", "x" * 300, "\u00e9" * 120, "YES", "yes ", "y\u0301es", "-rf", "$(id)", "*", "?"),
)
_FILES = ("", "page/app.js", "page/base.css", "page/studio.css", "page/try.js", "page/index.html")
_HOSTILE_FILES = (
    *("page/", "page/../worker.py", "page/%2e%2e/worker.py", "page//etc/passwd", "page/app.js/"),
    *("page/..%2fworker.py", "page/%00", "page/app.js%00", "studio/", "studio/../health"),
    *("studio/projects", "studio/take/../project", "studio/words/", "page/APP.JS", "//page/app.js"),
)
_FIELDS = {
    "words": ("word",),
    "words/remove": ("word",),
    "takes": ("word", "speaker", "after_s"),
    "import": ("word", "speaker", "name"),
    "take": ("word", "take"),
    "takes/delete": ("word", "take"),
    "undo": (),
    "project": (),
    "check": (),
    "training": (),
    "training/stop": (),
    "models": (),
    "thresholds": ("model",),
    "report": ("model",),
    "explain": ("model",),
    "page": ("key",),
}
"""The parameters of each route."""
_GETS = ("take", "project", "training", "models", "page")
_SLOW = ("check", "report", "explain")
_WEIGHTS = {
    **{"words": 10, "words/remove": 3, "takes": 18, "import": 14, "take": 12, "takes/delete": 6},
    **{"undo": 5, "project": 8, "check": 0.4, "training": 6, "start": 0.6, "training/stop": 1},
    **{"models": 3, "thresholds": 3, "report": 0.3, "explain": 0.7, "page": 3},
}
"""How often a route is asked for; ``start`` begins a training."""
_NAMES = tuple(_WEIGHTS)
_CHANCES = np.array([*_WEIGHTS.values()]) / sum(_WEIGHTS.values())


def page_input_of(rng: Rng) -> Input:
    """Return a request to the page."""
    kind = rng.random()
    if kind < 0.03:
        return stream_of(rng, "/studio/" + choose(rng, _NAMES))
    if kind < 0.13:
        files = _FILES if rng.random() < 0.5 else _HOSTILE_FILES
        return Input([http(rng, "GET", "/" + choose(rng, files), b"", "text/plain")])
    name = str(rng.choice(_NAMES, p=_CHANCES))
    route = "training" if name == "start" else name
    is_post = name == "start" or route not in _GETS
    if rng.random() < 0.03:
        is_post = not is_post
    body, body_kind = _body_of(rng, name)
    query = _query_of(rng, _FIELDS[route])
    target = f"/studio/{route}" + (f"?{query}" if query else "")
    method = "POST" if is_post else "GET"
    whole = Input([http(rng, method, target, body, body_kind, odd_ratio=0.1)])
    is_slow = route in _SLOW
    leaves = rng.random() < (0.3 if is_slow else 0.05)
    return replace(whole, is_slow=is_slow, leaves=leaves)


def _query_of(rng: Rng, fields: tuple[str, ...]) -> str:
    """Return parameters, most of them possible, some missing, twice or hostile."""
    pairs = [(field, _value_of(rng, field)) for field in fields]
    if rng.random() < 0.04:
        pairs.append((choose(rng, ("x", "word", "model", "out")), "1"))
    if pairs and rng.random() < 0.03:
        pairs.pop()
    if rng.random() < 0.02:
        return quote(rng.bytes(20)) + "&=%&" + "&".join("=".join(pair) for pair in pairs[:1])
    return urlencode(pairs, errors="surrogatepass")


def _value_of(rng: Rng, field: str) -> str:
    """Return a value of a parameter."""
    if rng.random() < 0.15:
        return choose(rng, _HOSTILE)
    n = int(rng.integers(0, 8))
    name = f"{choose(rng, _SPEAKERS)}_nohash_{n}"
    possible = {
        "word": _WORDS,
        "speaker": _SPEAKERS,
        "after_s": ("0", "0.5", "1", "60", "-1", "nan", "inf", "1e999", "x"),
        "name": (f"{name}.wav", "x.flac", f"../{name}.wav", f"a\\{name}.ogg", "notes.txt"),
        "take": (f"{name}.wav", f"ann_nohash_{n}.wav", f"bob_nohash_{n}.wav"),
        "model": (OWN_MODEL, OWN_MODEL, "commands-tiny", f"{DATA}-{1 + n}", "commands"),
        "key": ("x", "0" * 32),
    }
    return choose(rng, possible[field])


def _body_of(rng: Rng, name: str) -> tuple[bytes, str]:
    """Return a body and its kind."""
    if name == "start":
        length = choose(rng, ("quick", "quick", "standard", "long"))
        return json.dumps({"length": length}).encode(), "application/json"
    if name in ("training", "thresholds"):
        return _object_of(rng), "application/json"
    if name not in ("takes", "import", "explain"):
        return (b"", "text/plain") if rng.random() < 0.9 else (body_of(rng), "text/plain")
    if rng.random() < 0.15:
        return body_of(rng), choose(rng, ("audio/wav", "multipart/form-data; boundary=b", ";"))
    samples = spoken(rng)
    if rng.random() < 0.5:
        return to_pcm(samples).tobytes(), f"audio/pcm;rate={RATE}"
    content = wav_bytes(to_pcm(samples), RATE)
    return (mutate(rng, content) if rng.random() < 0.3 else content), "audio/wav"


def _object_of(rng: Rng) -> bytes:
    """Return thresholds or what is none."""
    labels = ("yes", "no", "up", "down", "left", "right", "stop", "go", "sound")
    values = (0.3, 0.62, 0.99, 1, 0, -1, 1e308, 10**400, True, None, "0.5", [0.5])
    n_labels = 8 if rng.random() < 0.7 else int(rng.integers(0, 10))
    n_values = 3 if rng.random() < 0.7 else len(values)
    found: Any = {label: values[int(rng.integers(n_values))] for label in labels[:n_labels]}
    content = json.dumps(found if rng.random() < 0.9 else [found]).encode()
    content = content.replace(b"0.99", b"NaN") if rng.random() < 0.1 else content
    others = (b"[" * 5_000, b"{}", b"null", b'{"yes": 0.5, "yes": 0.6}', b"\xff", b" " * 20_000)
    if rng.random() < 0.2:
        return others[int(rng.integers(len(others)))]
    return mutate(rng, content) if rng.random() < 0.2 else content


def spoken(rng: Rng) -> Samples:
    """Return samples at ``RATE``: quiet, a tone as long as a word, and quiet."""
    before, word, after = (round(RATE * x) for x in (rng.uniform(0.2, 1), rng.uniform(0.1, 1), 0.6))
    samples = 0.0005 * rng.standard_normal(before + word + after)
    times = np.arange(word) / RATE
    level = float(rng.choice([0.3, 0.3, 0.3, 0.01, 2.0]))
    samples[before : before + word] += level * np.sin(2 * np.pi * rng.uniform(150, 3_000) * times)
    return np.clip(samples, -1, 1).astype(np.float32)


class Sandbox:
    """Folders for a server with a page, and bait around them that nothing may touch.

    Parameters
    ----------
    root : an empty folder
    """

    def __init__(self, root: Path) -> None:
        self.root, self.work, self.temporary = root, root / "work", root / "tmp"
        secret = np.tile(np.frombuffer(_SECRET, np.int16), 200)
        for folder in (root / "beside" / "yes", root / "home", self.work, self.temporary):
            folder.mkdir(parents=True)
            for name in ("secret.wav", "secret", "ann_nohash_0.wav"):
                if folder != self.temporary:
                    (folder / name).write_bytes(wav_bytes(secret, RATE))
        for word in ("yes", "no"):
            (self.work / DATA / word).mkdir(parents=True)
            for n in range(6):
                sound = spoken(np.random.default_rng([n, len(word)]))[: 2 * RATE]
                path = self.work / DATA / word / f"ann_nohash_{n}.wav"
                soundfile.write(path, sound, RATE)
        shutil.copytree(_TINY, self.work / MODELS / OWN_MODEL)
        own = load_artifact(self.work / MODELS / OWN_MODEL)
        calibration = load_calibration(own)
        assert calibration is not None
        alarms = {label: [0.9, 0.5] for label in calibration.thresholds}
        save_calibration(own, replace(calibration, alarms=alarms))
        bait = [path for path in self._outside() if path.is_file()]
        bait[0].read_bytes()
        for path in bait:
            os.utime(path, ns=(_LONG_AGO_NS, path.stat().st_mtime_ns))
        bait[0].read_bytes()
        self.sees_reads = bait[0].stat().st_atime_ns != _LONG_AGO_NS
        """Whether the file system notes when a file was read last."""
        os.utime(bait[0], ns=(_LONG_AGO_NS, bait[0].stat().st_mtime_ns))
        self._at_first = self._now()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to keep to these folders."""
        places = {"HOME": "home", "TMPDIR": "tmp", "SPEECHCLS_CACHE": "cache"}
        places |= {"XDG_CACHE_HOME": "cache", "MPLCONFIGDIR": "cache/matplotlib"}
        return {**os.environ, **{name: str(self.root / place) for name, place in places.items()}}

    def _outside(self) -> list[Path]:
        """Return all that is there, but for what the server may write."""
        own = [self.work / DATA, self.work / MODELS, self.temporary, self.root / "cache"]
        found = []
        for folder, inner, files in os.walk(self.root):
            inner[:] = [name for name in inner if Path(folder, name) not in own]
            found += [Path(folder, name) for name in (*inner, *files)]
        return sorted(found)

    def _now(self) -> dict[str, tuple[int, ...]]:
        def stamps(path: Path) -> tuple[int, ...]:
            found = path.lstat()
            if path.is_dir():
                return (found.st_ino,)
            read_ns = found.st_atime_ns if self.sees_reads else 0
            return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, read_ns

        return {str(path.relative_to(self.root)): stamps(path) for path in self._outside()}

    def fault(self) -> str | None:
        """Return what was touched outside, or lies in the project that is no take."""
        now, before = self._now(), self._at_first
        changed = [name for name in now if now[name] != before.get(name)]
        if touched := [*changed, *(before.keys() - now.keys())]:
            return f"{touched[0]} was written, changed, removed or read"
        return self._fault_inside()

    def _fault_inside(self) -> str | None:
        for folder, inner, files in os.walk(self.work / DATA):
            place = Path(folder)
            own = [OWN] if place == self.work / DATA else []
            # What is being written has a folder for as long as that takes.
            inner[:] = [each for each in inner if each not in own and each[:11] != _BEING_WRITTEN]
            depth = len(place.relative_to(self.work / DATA).parts)
            is_odd = any(not name.endswith(".wav") for name in files) or (files and depth != 1)
            if depth > 1 or is_odd or any((place / name).is_symlink() for name in inner):
                return f"{place.relative_to(self.work)} holds what is no take: {files}"
        return None

    def fault_at_end(self) -> str | None:
        """Return what the server left behind that it should not have."""
        left = [path for path in self.temporary.iterdir() if not path.name.startswith(_TORCH)]
        if left:
            return f"temporary files are left: {left[0].name}"
        for place in (self.work / MODELS).glob("*"):
            try:
                load_artifact(place)
            except SpeechclsError as error:
                return f"a model that is none is left: {error}"
        for path in (self.work / DATA).rglob(f"{_BEING_WRITTEN}*"):
            return f"{path.name} is left behind"
        for path in (self.work / DATA).rglob("*.wav"):
            if soundfile.info(path).samplerate != RATE:
                return f"{path.name} is no take"
        mark = f"TMPDIR={self.temporary}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                is_ours = mark in (process / "environ").read_bytes()
            except OSError:
                continue  # of somebody else, or gone
            if is_ours and int(process.name) != os.getpid():
                return f"process {process.name} is left running"
        return None


def has_secret(answer: bytes) -> bool:
    """Whether an answer holds what lies outside."""
    return _SECRET in answer
