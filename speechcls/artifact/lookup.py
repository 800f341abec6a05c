"""Which artifact is meant: named, from the environment, the newest, or the bundled one."""

import os
from pathlib import Path

from speechcls.artifact.format import CARD, CONFIG, ONNX
from speechcls.config import MODELS
from speechcls.errors import ArtifactError

ENVIRONMENT = "SPEECHCLS_MODEL"
BUNDLED = "commands"
"""Name of the model that comes with speechcls."""


def find_artifact(named: Path | None) -> tuple[Path, str]:
    """Return the model to use, and how it was found.

    The one ``named``; else ``$SPEECHCLS_MODEL``; else the newest under ``./models/``; else the one
    that comes with speechcls.

    Raises
    ------
    ArtifactError
        When there is none.
    """
    if named is not None:
        return locate(named), "--model"
    if from_environment := os.environ.get(ENVIRONMENT):
        return Path(from_environment), f"${ENVIRONMENT}"
    found = [path.parent for path in MODELS.glob(f"*/{CONFIG}") if (path.parent / ONNX).is_file()]
    # In a source tree those with a card are not the user's: they came with speechcls.
    found = [path for path in found if not (path / CARD).is_file()]
    if not found and (bundled := find_bundled()):
        return bundled, "comes with speechcls"
    if not found:
        raise ArtifactError(
            f"no model: none is named by --model or ${ENVIRONMENT}, and there is none in"
            f" ./{MODELS}/; make one with: speechcls train DATA"
        )
    newest = max(found, key=lambda path: (path / CONFIG).stat().st_mtime_ns)
    return newest, f"newest in ./{MODELS}/"


def find_artifacts(folder: Path) -> list[Path]:
    """Return ``folder`` if it is a model, else the models in it, by name; damaged ones as well.

    Raises
    ------
    ArtifactError
        When there is none.
    """

    def is_meant(path: Path) -> bool:
        return (path / CONFIG).is_file() or (path / ONNX).is_file()

    folder = locate(folder)
    try:
        if is_meant(folder) or not folder.is_dir():
            return [folder]
        found = sorted(path for path in folder.iterdir() if path.is_dir() and is_meant(path))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"{folder}: {reason}; mend that or name another folder") from error
    if not found:
        raise ArtifactError(
            f"{folder}: neither a model nor a folder of models; name one that speechcls train wrote"
        )
    return found


def locate(path: Path) -> Path:
    """Return ``path``, or where the model that comes with speechcls lies if that is meant.

    It is meant by ``commands``, unless a model of the user's has this name.
    """
    if str(path) == BUNDLED and not (path / CONFIG).is_file():
        return find_bundled() or path
    return path


def find_bundled() -> Path | None:
    """Return the model that comes with speechcls, if this installation holds it."""
    package = Path(__file__).parents[1]
    # In a wheel it lies in the package, in a source tree beside it.
    places = package / "bundled" / BUNDLED, package.parent / MODELS / BUNDLED
    return next((place for place in places if (place / ONNX).is_file()), None)
