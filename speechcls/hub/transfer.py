"""A model to the Hub and from it: all of its files in one commit, checked before and after."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from speechcls import __version__
from speechcls.artifact.format import CARD, CONFIG, MANIFEST, ONNX, SPLIT
from speechcls.artifact.manifest import FILES, check_digest, read_limited
from speechcls.artifact.store import check_can_save, load_artifact, load_split
from speechcls.errors import ArtifactError, StorageError, reason_of
from speechcls.files import write_folder_atomic
from speechcls.hub.repository import Repository, open_api, reporting_faults
from speechcls.runtime.verify import verify

_LOGIN = "log in by hf auth login, or set HF_TOKEN"


def push(model: Path, repository: Repository, is_public: bool = False) -> str:
    """Upload a model in one commit, and return the commit.

    Exactly its own files are uploaded, and those of a model that was there before are removed, but
    for the card. A repository that is not there is made.

    Parameters
    ----------
    is_public : whether anybody may see a repository that is made; one that is there stays as it is

    Raises
    ------
    ArtifactError
        When the model is damaged.
    StorageError
        When the Hub refuses it, or cannot be reached.
    """
    api = open_api()
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, get_token

    if repository.revision is not None:
        raise StorageError(f"{repository}: models go to the main branch; leave the revision out")
    contents = _read(model)
    if get_token() is None:
        raise StorageError(f"{repository}: no token of the Hub is found; {_LOGIN}")
    with reporting_faults(repository):
        api.create_repo(repository.name, private=not is_public, exist_ok=True)
        there = set(api.list_repo_files(repository.name))
        stale = sorted((FILES.keys() & there) - contents.keys())
        try:
            commit = api.create_commit(
                repository.name,
                [
                    *(CommitOperationAdd(name, content) for name, content in contents.items()),
                    *(CommitOperationDelete(name) for name in stale),
                ],
                commit_message=f"Upload by speechcls {__version__}",
            )
        except ValueError as error:
            if isinstance(error, OSError) or CARD not in contents:
                raise
            reason = (str(error).splitlines() or [""])[-1]
            raise ArtifactError(
                f"{model / CARD}: refused by the Hub ({reason}); mend its first lines"
            ) from error
    return str(commit.oid)


def _read(model: Path) -> dict[str, bytes]:
    """Return the files of a model, as they were when it was found to be whole."""
    artifact = load_artifact(model)
    _check(artifact.path, str(artifact.path))
    names = [name for name in (*FILES, CARD) if (artifact.path / name).is_file()]
    try:
        contents = {name: read_limited(artifact.path / name) for name in names}
    except OSError as error:
        raise ArtifactError(f"{artifact.path}: {reason_of(error)}; try again") from error
    for name in contents.keys() - {MANIFEST, CARD}:
        check_digest(artifact.path / name, contents[name], artifact.digests)
    return contents


def _check(folder: Path, name: str) -> None:
    """Refuse a damaged model; one of an earlier speechcls has no manifest.

    Parameters
    ----------
    name : what messages call it
    """
    problems = [
        str(finding.problem).replace(str(folder), name)
        for finding in verify(folder)
        if finding.problem and finding.file != MANIFEST
    ]
    if problems:
        raise ArtifactError(f"{name}: damaged; copy or train it again", problems)


def count_named(model: Path) -> tuple[int, int]:
    """Return how many clips and speakers the split of a model names.

    Raises
    ------
    ArtifactError
        When it is damaged.
    """
    artifact = load_artifact(model)
    if not (artifact.path / SPLIT).is_file():
        return 0, 0
    rows = load_split(artifact)
    return len({row.path for row in rows}), len({row.speaker for row in rows if row.speaker})


def pull(repository: Repository, out: Path, force: bool = False) -> str:
    """Write a model of the Hub to ``out``, whole or not at all; return the commit that it is of.

    Parameters
    ----------
    force : replace a model that is there

    Raises
    ------
    ArtifactError
        When there is no model, it is damaged, or ``out`` cannot be written.
    StorageError
        When the Hub refuses it, or cannot be reached.
    """
    api = open_api()
    check_can_save(out, force)
    with reporting_faults(repository), tempfile.TemporaryDirectory(prefix="speechcls-") as scratch:
        info = api.model_info(repository.name, revision=repository.revision, files_metadata=True)
        sizes = {file.rfilename: file.size for file in info.siblings or []}
        names = _names_of(repository, sizes)
        for name in names:
            api.hf_hub_download(repository.name, name, revision=info.sha, local_dir=scratch)
        folder = Path(scratch)
        _check(folder, str(repository))
        contents = {name: read_limited(folder / name) for name in names}
    try:
        write_folder_atomic(out, contents)
    except OSError as error:
        raise ArtifactError(
            f"{out}: not written ({reason_of(error)}); choose another place"
        ) from error
    return str(info.sha)


def _names_of(repository: Repository, sizes: Mapping[str, int | None]) -> list[str]:
    """Return the files of a model among those of a repository."""
    if missing := [name for name in (CONFIG, ONNX) if name not in sizes]:
        raise ArtifactError(
            f"{repository}: no speechcls model (no {' and no '.join(missing)}); name another"
        )
    names = [name for name in (*FILES, CARD) if name in sizes]
    for name in names:
        limit = FILES.get(name, FILES[CONFIG])
        if (sizes[name] or 0) > limit:
            raise ArtifactError(f"{repository}: {name} is larger than {limit} bytes; name another")
    return names
