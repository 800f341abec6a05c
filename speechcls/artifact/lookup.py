"""Find the model to use."""

import os
from collections.abc import Callable
from pathlib import Path

from speechcls.artifact.format import CONFIG, ONNX
from speechcls.artifact.manifest import FILES
from speechcls.config import BUNDLED, DEFAULT_MODEL, MODELS
from speechcls.errors import ArtifactError, StorageError, reason_of
from speechcls.scratch import restore
from speechcls.storage.places import is_mirrored, local_path

MODEL_VARIABLE = "SPEECHCLS_MODEL"


def find_artifact(named: Path | None, default: str = DEFAULT_MODEL) -> tuple[Path, str]:
    """Return the folder of the model to use, and in words how it was chosen.

    It is the one ``named``; else ``$SPEECHCLS_MODEL``; else the newest under ``./models/``; else
    ``default``, one that comes with speechcls.

    Raises
    ------
    ArtifactError
        When there is none.
    """
    if named is not None:
        return locate(named), "named"
    if from_environment := os.environ.get(MODEL_VARIABLE):
        return locate(local_path(from_environment)), f"${MODEL_VARIABLE}"
    found = [path.parent for path in MODELS.glob(f"*/{CONFIG}") if (path.parent / ONNX).is_file()]
    # In a source tree some came with speechcls and are not the user's.
    found = [path for path in found if not is_bundled(path)]
    if not found and (bundled := find_bundled(default)):
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

    _bring(folder, lambda name: "/" not in name or _is_of_inner_model(name))
    try:
        inside = folder.iterdir() if folder.is_dir() and not is_model(folder) else ()
        found = sorted(path for path in inside if path.is_dir() and is_model(path))
        if not found:
            folder = locate(folder)
        if is_model(folder) or not folder.is_dir():
            return [folder]
    except OSError as error:
        raise ArtifactError(
            f"{folder}: {reason_of(error)}; fix that or name another folder"
        ) from error
    if not found:
        raise ArtifactError(f"{folder}: neither a model nor a folder of models; name one")
    return found


def locate(path: Path) -> Path:
    """Return ``path``, or for the name of a model that comes with speechcls its folder.

    A model of the user's of that name takes precedence, a damaged one too. One that lies elsewhere
    is fetched.
    """
    _bring(path, lambda name: "/" not in name)
    bundled = find_bundled(str(path))
    if bundled is None:
        return path
    restore(path)  # the user's may be aside, if its replacement was interrupted
    is_users = (path / CONFIG).is_file() or (path / ONNX).is_file()
    return path if is_users else bundled


def _bring(path: Path, wanted: Callable[[str], bool]) -> None:
    """Fetch what is wanted of a folder that lies elsewhere."""
    if is_mirrored(path):
        from speechcls.storage.mirror import bring_folder

        if problems := bring_folder(path, wanted).problems:
            raise StorageError(problems[0])


def _is_of_inner_model(name: str) -> bool:
    folder, _, file = name.partition("/")
    return bool(folder) and file in FILES


def find_bundled(name: str = DEFAULT_MODEL) -> Path | None:
    """Return the folder of a model that comes with speechcls; None if there is none of the name."""
    return bundled_models().get(name)


def bundled_models() -> dict[str, Path]:
    """Return the folders of the models that come with speechcls, by name.

    In a wheel they are inside the package, in a source tree beside it, among the user's.
    """
    package = Path(__file__).parents[1]
    found: dict[str, Path] = {}
    for place in (package / "bundled", package.parent / MODELS):
        for name in sorted(BUNDLED):
            if (place / name / ONNX).is_file():
                found.setdefault(name, place / name)
    return found


def is_bundled(path: Path) -> bool:
    """Whether the model in a folder is one that comes with speechcls."""
    bundled = bundled_models().get(path.name)
    return bundled is not None and bundled.resolve() == path.resolve()
