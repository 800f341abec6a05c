"""What an address is, where in the cache folder its files are, which address a path there is of.

Every command needs this module: what reads from stores is in ``addresses``, imported late.
"""

import os
import re
from pathlib import Path

from speechcls.errors import StorageError
from speechcls.files import cache_folder
from speechcls.text import SIGNED, without_credentials

REMOTE = "'speechcls[remote]'"
"""What pip calls the extra that reads the usual stores."""
STORES = {
    **dict.fromkeys(("s3", "s3a"), ("s3fs", REMOTE)),
    **dict.fromkeys(("http", "https"), ("aiohttp", REMOTE)),
    **dict.fromkeys(("gs", "gcs"), ("gcsfs", "gcsfs")),
    "hf": ("huggingface_hub", "'speechcls[hub]'"),
    **dict.fromkeys(("az", "abfs"), ("adlfs", "adlfs")),
    **dict.fromkeys(("sftp", "ssh"), ("paramiko", "paramiko")),
    "oci": ("ocifs", "ocifs"),
    "oss": ("ossfs", "ossfs"),
    "memory": ("fsspec", REMOTE),
}
"""Of each scheme: the package that reads it, and what pip calls that."""
SHARDS = (".parquet", ".tar")
"""Endings of files that hold recordings."""
MIRROR = "elsewhere"
"""Folder in the cache folder of the files that lie elsewhere."""
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://.")
_QUERY_FOLDER = re.compile(r"\?[0-9a-f]{12}/")
_WEB = ("http", "https")
_LONGEST = 255  # bytes of a name on most file systems
_FULL: dict[Path, str] = {}
"""The addresses with credentials or a query, by place: credentials are kept in memory alone."""


def is_address(text: str) -> bool:
    """Whether a text is an address, as ``s3://bucket/yes.wav``, and no name of a local file."""
    match = _ADDRESS.match(text)
    return match is not None and match[1].lower() != "file"


def is_on_web(address: str) -> bool:
    """Whether an address is of a web server, which lists no folders."""
    return address.partition(":")[0].lower() in _WEB


def mirror_folder() -> Path:
    """Return the folder of the files that lie elsewhere."""
    return cache_folder() / MIRROR


def local_path(name: str | os.PathLike[str]) -> Path:
    """Return a path as it is, and of an address the place of its files in the mirror.

    Raises
    ------
    StorageError
        When an address has a part that is no name of a file.
    """
    text = os.fspath(name)
    return place_of(text) if is_address(text) else Path(name)


def place_of(address: str) -> Path:
    """Return where in the mirror the file or folder at an address is, fetched or not.

    What follows from that place below is what follows from the address; signatures in a query and
    credentials do not count, since they change while the file does not.

    Raises
    ------
    StorageError
        When a part of it is no name of a file.
    """
    scheme, _, rest = address.partition("://")
    rest, _, query = rest.partition("?") if is_on_web(address) else (rest, "", "")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    parts = rest.removeprefix(f"{user}{at}").strip("/").split("/")  # of memory:///data as well
    if (fault := next((part for part in parts if not _is_name(part)), None)) is not None:
        raise StorageError(
            f"{without_credentials(address)}: {fault!r} in it is no name that a file can have;"
            " name it otherwise in the store"
        )
    if digest := _digest(query):
        parts.insert(-1, f"?{digest}")
    place = mirror_folder().joinpath(scheme.lower(), *parts)
    if query or user:
        _FULL[place] = address
    return place


def _digest(query: str) -> str | None:
    """Return what stands for the lasting part of a query; None where it has none."""
    if not query:
        return None
    import hashlib  # late: every message needs this module
    from urllib.parse import parse_qsl, urlencode

    lasting = [(name, value) for name, value in parse_qsl(query, True) if not SIGNED.search(name)]
    text = urlencode(lasting).encode()
    return hashlib.blake2b(text, digest_size=6).hexdigest() if lasting else None


def _is_name(part: str) -> bool:
    return part not in ("", ".", "..") and "\0" not in part and len(part.encode()) <= _LONGEST


def is_mirrored(path: Path) -> bool:
    """Whether a path is a place in the mirror."""
    return MIRROR in path.parts and path.is_relative_to(mirror_folder())


def full_address(place: Path) -> str:
    """Return the address of a place in the mirror, with its credentials: to fetch, not to show."""
    return _FULL.get(place) or _address(place.relative_to(mirror_folder()).as_posix())


def name_of(path: Path) -> str:
    """Return what to call a path: its address where it is in the mirror, else itself."""
    return shown(str(path))


def shown(text: str) -> str:
    """Return text with addresses in place of paths in the mirror, and without credentials."""
    if MIRROR in text:
        folder = mirror_folder()
        for root in {str(folder), os.path.realpath(folder)}:
            pattern = rf"{re.escape(root)}/({'|'.join(STORES)})(?=/)"
            text = _QUERY_FOLDER.sub("", re.sub(pattern, r"\1:/", text))
    return without_credentials(text)


def _address(relative: str) -> str:
    scheme, _, rest = relative.partition("/")
    return f"{scheme}://{rest}"
