"""The files of a model as bytes: bounded in size, and compared with the hashes in manifest.json."""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from speechcls.artifact.format import (
    CALIBRATION,
    CONFIG,
    CURVES,
    HELD,
    HISTORY,
    MANIFEST,
    METRICS,
    ONNX,
    SNAPSHOTS,
    SPLIT,
    STREAM,
    WEIGHTS,
    Artifact,
    check_format_version,
)
from speechcls.errors import ArtifactError
from speechcls.files import json_bytes

_VERSION = 2
"""2: there may be snapshots, which a speechcls that knows version 1 alone takes for damage."""
_MIB = 2**20
FILES = {
    CONFIG: _MIB,
    ONNX: 2_048 * _MIB,
    STREAM: 2_048 * _MIB,
    WEIGHTS: 2_048 * _MIB,
    METRICS: 64 * _MIB,
    SPLIT: 2_048 * _MIB,
    CALIBRATION: _MIB,
    HISTORY: 64 * _MIB,
    CURVES: 64 * _MIB,
    SNAPSHOTS: 2_048 * _MIB,
    MANIFEST: _MIB,
}
"""Largest size of each file that a model may have, bytes."""


def read_limited(path: Path, folder: int | None = None) -> bytes:
    """Return the content of a file of a model.

    Parameters
    ----------
    folder : open descriptor of the folder that the file is in, which may have another name by now

    Raises
    ------
    ArtifactError
        When it is larger than it can be.
    OSError
        When it cannot be read.
    """
    limit = FILES.get(path.name, FILES[ONNX])
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path if folder is None else path.name, flags, dir_fd=folder)
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):  # a pipe would never end
        os.close(descriptor)
        raise ArtifactError(f"{path}: not a file; copy the model again")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(min(about.st_size, limit) + 1)  # a buffer of the limit would not fit
    if len(content) > limit:
        raise ArtifactError(f"{path}: larger than {limit // _MIB} MiB; copy the model again")
    return content


def read_json(path: Path) -> Any:
    """Return what a file of JSON holds.

    Raises
    ------
    ValueError
        When it is no JSON, nested too deeply, or holds what is no number.
    OSError, ArtifactError
        When it cannot be read.
    """
    return parse_json(read_limited(path))


def parse_json(content: bytes) -> Any:
    """Return what JSON of a model holds.

    Raises
    ------
    ValueError
        As ``read_json``.
    """
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def read_file(artifact: Artifact, name: str) -> bytes:
    """Return a file of a model that was loaded, as its manifest says it is.

    Raises
    ------
    ArtifactError
        When it is another one.
    OSError
        When it cannot be read.
    """
    path = artifact.path / name
    content = held_file(artifact, name) if name in HELD else read_limited(path)
    check_digest(path, content, artifact.digests)
    return content


def held_file(artifact: Artifact, name: str) -> bytes:
    """Return a file in ``HELD`` as it was when the model was loaded.

    Raises
    ------
    OSError, ArtifactError
        When the model has none; of a model that was not loaded, when it cannot be read.
    """
    if artifact.contents is None:
        return read_limited(artifact.path / name)
    if name not in artifact.contents:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(artifact.path / name))
    return artifact.contents[name]


def check_digest(path: Path, content: bytes, digests: Mapping[str, str]) -> None:
    """Refuse the content of a file that is not the one in the manifest, if there is one.

    Raises
    ------
    ArtifactError
        When it differs.
    """
    if digests and digests.get(path.name) != hashlib.sha256(content).hexdigest():
        raise ArtifactError(
            f"{path}: not the file that {MANIFEST} names (SHA-256); it was changed or damaged, or"
            " files of different models are mixed: copy the model again"
        )


def manifest_of(contents: Mapping[str, bytes]) -> bytes:
    """Return the manifest of a model's files."""
    return _manifest(
        {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    )


def _manifest(digests: Mapping[str, str]) -> bytes:
    version = _VERSION if SNAPSHOTS in digests else 1
    return json_bytes({"format_version": version, "sha256": dict(sorted(digests.items()))})


def extended_manifest(path: Path, name: str, content: bytes) -> bytes | None:
    """Return the manifest of the model in a folder with one more file; None if it has none.

    Raises
    ------
    ArtifactError
        When the one that is there is damaged.
    OSError
        When it cannot be read.
    """
    place = path / MANIFEST
    digests = parse_digests(place, read_limited(place)) if place.exists() else {}
    if not digests:
        return None
    return _manifest(digests | {name: hashlib.sha256(content).hexdigest()})


def parse_digests(place: Path, content: bytes) -> dict[str, str]:
    """Return the SHA-256 of each file of a model by its name, as its manifest has it.

    Parameters
    ----------
    place : where the manifest is, for messages

    Raises
    ------
    ArtifactError
        When the manifest is damaged, or of a newer speechcls.
    """
    try:
        manifest = parse_json(content)
        check_format_version(place, manifest["format_version"], _VERSION, ArtifactError)
        digests = manifest["sha256"]
        if set(digests) - (FILES.keys() - {MANIFEST}) or not {CONFIG, ONNX} <= set(digests):
            raise ValueError("impossible files")
        if not all(type(digest) is str and len(digest) == 64 for digest in digests.values()):
            raise ValueError("impossible SHA-256")
        return dict(digests)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{place}: damaged ({type(error).__name__}: {error}); copy the model again"
        ) from error
