"""A repository of the Hub: its name, how to reach it, and what goes wrong there."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from speechcls.errors import ConfigError, StorageError, not_installed
from speechcls.storage.faults import explain, library_errors

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_ADDRESS = re.compile(rf"hf://({_PART}/{_PART})(?:@([\w./-]+))?/?", re.ASCII)
_KINDS = ("datasets", "spaces", "models")


class Repository(NamedTuple):
    """A repository of a model."""

    name: str
    """As ``user/name``."""
    revision: str | None = None
    """Branch, tag or commit; None: the main branch."""

    def __str__(self) -> str:
        return f"hf://{self.name}{f'@{self.revision}' if self.revision else ''}"


def parse_repository(address: str) -> Repository:
    """Return the repository at an address as ``hf://user/name`` or ``hf://user/name@revision``.

    Raises
    ------
    ConfigError
        When it is no such address.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or match[1].partition("/")[0] in _KINDS:
        raise ConfigError(
            f"{address}: no repository of a model; give one as hf://user/name", field="repository"
        )
    return Repository(match[1], match[2])


def open_api() -> "HfApi":
    """Return the Hub's library, which finds the user's token by its own ways.

    Raises
    ------
    ConfigError
        When it is not installed.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError as error:
        raise ConfigError(not_installed("huggingface_hub", "hub")) from error
    from speechcls import __version__

    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return HfApi(library_name="speechcls", library_version=__version__)


@contextmanager
def reporting_faults(repository: Repository) -> Iterator[None]:
    """Turn what the Hub or the network refuses into one line with what to do.

    Raises
    ------
    StorageError
        Naming the repository.
    """
    from huggingface_hub import errors

    login = "log in by hf auth login, or set HF_TOKEN"
    try:
        yield
    except errors.GatedRepoError as error:
        raise StorageError(
            f"{repository}: its owner lets in whom they choose; ask on its page, and {login}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise StorageError(
            f"{repository}: no such repository, or none that you may see; check the name, or"
            f" {login}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise StorageError(f"{repository}: no such branch, tag or commit; check it") from error
    except errors.OfflineModeIsEnabled as error:
        raise StorageError(f"{repository}: HF_HUB_OFFLINE is set; unset it") from error
    except library_errors() as error:
        raise StorageError(f"{repository}: {explain(error, 'hf').text}") from error
