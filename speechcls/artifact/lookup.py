"""Find the model to use."""

import os
from pathlib import Path

from speechcls.artifact.format import CARD, CONFIG, ONNX
from speechcls.config import MODELS
from speechcls.errors import ArtifactError, reason_of

MODEL_VARIABLE = "SPEECHCLS_MODEL"
BUNDLED = "commands"
"""Name of the model that comes with speechcls."""


def find_artifact(named: Path | None) -> tuple[Path, str]:
    """Return the folder of the model to use, and in words how it was chosen.

    It is the one ``named``; else ``$SPEECHCLS_MODEL``; else the newest under ``./models/``; else
    the one that comes with speechcls.

    Raises
    ------
    ArtifactError
        When there is none.
    """
    if named is not None:
        return locate(named), "named"
    if from_environment := os.environ.get(MODEL_VARIABLE):
        return Path(from_environment), f"${MODEL_VARIABLE}"
    found = [path.parent for path in MODELS.glob(f"*/{CONFIG}") if (path.parent / ONNX).is_file()]
    # In a source tree those with a model card came with speechcls and are not the user's.
    found = [path for path in found if not (path / CARD).is_file()]
    if not found and (bundled := find_bundled()):
        return bundled, "comes with speechcls"
    if not found:
        raise ArtifactError(
            f"no model is named, here or by ${MODEL_VARIABLE}, and none is in ./{MODELS}/;"
            " train one",
            field="model",
        )
    newest = max(found, key=lambda path: (path / CONFIG).stat().st_mtime_ns)
    return newest, f"newest in ./{MODELS}/"


def find_artifacts(folder: Path) -> list[Path]:
    """Return ``folder`` if it is a model, else the models in it by name, damaged ones included.

    Raises
    ------
    ArtifactError
        When there is none.
    """

    def is_model(path: Path) -> bool:
        return (path / CONFIG).is_file() or (path / ONNX).is_file()

    folder = locate(folder)
    try:
        if is_model(folder) or not folder.is_dir():
            return [folder]
        found = sorted(path for path in folder.iterdir() if path.is_dir() and is_model(path))
    except OSError as error:
        raise ArtifactError(
            f"{folder}: {reason_of(error)}; fix that or name another folder"
        ) from error
    if not found:
        raise ArtifactError(f"{folder}: neither a model nor a folder of models; name one")
    return found


def locate(path: Path) -> Path:
    """Return ``path``, or for ``commands`` the folder of the model that comes with speechcls.

    A model of the user's of that name takes precedence.
    """
    if str(path) == BUNDLED and not (path / CONFIG).is_file():
        return find_bundled() or path
    return path


def find_bundled() -> Path | None:
    """Return the folder of the model that comes with speechcls; None if it is not installed."""
    package = Path(__file__).parents[1]
    # In a wheel it is inside the package, in a source tree beside it.
    places = package / "bundled" / BUNDLED, package.parent / MODELS / BUNDLED
    return next((place for place in places if (place / ONNX).is_file()), None)
