"""A hash of what a model answers with."""

import hashlib
from pathlib import Path

from speechcls.artifact.format import CALIBRATION, CONFIG, ONNX, SPLIT, STREAM

_DECIDING = (CONFIG, ONNX, STREAM, CALIBRATION, SPLIT)


def fingerprint_of(model: Path) -> str:
    """Return a hash of the files of a model that its results depend on."""
    digest = hashlib.blake2b(digest_size=8)
    for name in _DECIDING:
        path = model / name
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "blake2b").digest()
            digest.update(name.encode() + content)
    return digest.hexdigest()
