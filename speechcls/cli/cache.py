"""``speechcls cache``."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import refuse, reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import AsJsonLines, Quiet, Verbose, as_path
from speechcls.cli.tables import print_json, print_table
from speechcls.errors import ConfigError

if TYPE_CHECKING:
    from speechcls.data.cache import StoreInfo
    from speechcls.storage.stamps import MirrorInfo

_ACTIONS = ("list", "clear")
_DAY_S = 86_400
_DATA = typer.Argument(
    help="Data sets to list or clear. [default: all]", metavar="[DATA...]", parser=as_path
)


@reports_errors
def cache(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(help="list or clear.", metavar="[ACTION]")] = "list",
    data: Annotated[list[Path] | None, _DATA] = None,
    as_json: AsJsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List the decoded recordings that training keeps, or remove them.

    Training decodes each recording once and keeps its samples in a store, one per data set and
    sample rate, in the cache folder of the user or in $SPEECHCLS_CACHE; recordings out of Parquet
    files are there too, and files that were fetched from elsewhere (as s3://). All of it can be
    removed at any time; the next training makes it again.

    Example: speechcls cache list data/
    """
    if action not in _ACTIONS:
        raise ConfigError(f"no {action!r}; there are {', '.join(_ACTIONS)}", field="action")
    if action == "clear":
        refuse(ctx, ["as_json"], "with clear")
    from speechcls.data.cache import find_stores, remove_store, remove_unpacked
    from speechcls.files import cache_folder
    from speechcls.storage.mirror import find_mirrors, remove_mirror

    messages = Messages(quiet, verbose)
    stores, fetched = find_stores(), find_mirrors(data)
    if data:
        sources = {str(folder.resolve()) for folder in data}
        stores = [store for store in stores if store.source in sources]
        known = {store.source for store in stores} | {str(mirror.place) for mirror in fetched}
        for folder in data:
            if not {str(folder), str(folder.resolve())} & known:
                messages.warn(f"{folder}: nothing in the cache")
    if action == "clear":
        for store in stores:
            remove_store(store)
        n_bytes = sum(store.n_bytes for store in stores) + (0 if data else remove_unpacked())
        n_bytes += sum(remove_mirror(mirror.place) for mirror in fetched)
        freed = f"{n_bytes / 1e6:,.1f} MB freed in {cache_folder()}"
        n_files = sum(mirror.n_files for mirror in fetched)
        others = f", {n_files} fetched files" if n_files else ""
        messages.note(f"{len(stores)} stores{others} removed, {freed}")
    elif as_json:
        for store in stores:
            print_json(_as_object(store))
        for mirror in fetched:
            print_json(_mirror_as_object(mirror))
    elif stores or fetched:
        _print_table(stores, fetched)
    else:
        messages.note(f"the cache {cache_folder()} is empty")


def _as_object(store: "StoreInfo") -> dict[str, object]:
    return {
        "source": store.source,
        "sample_rate": store.sample_rate,
        "clips": store.n_clips,
        "bytes": store.n_bytes,
        "used": _time(store.last_used),
        "path": str(store.path),
    }


def _mirror_as_object(mirror: "MirrorInfo") -> dict[str, object]:
    return {
        "source": str(mirror.place),
        "files": mirror.n_files,
        "bytes": mirror.n_bytes,
        "used": _time(mirror.last_used),
    }


def _time(moment_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment_s))


def _print_table(stores: list["StoreInfo"], fetched: list["MirrorInfo"]) -> None:
    rows = [(s.source, str(s.sample_rate), s.n_clips, s.n_bytes, s.last_used) for s in stores]
    rows += [(f"{m.place}/", "-", m.n_files, m.n_bytes, m.last_used) for m in fetched]
    print_table(
        ("data", "Hz", "clips", "MB", "days since use"),
        (
            (
                source,
                rate,
                f"{n_clips:,}",
                f"{n_bytes / 1e6:,.1f}",
                f"{(time.time() - last_used) / _DAY_S:.1f}",
            )
            for source, rate, n_clips, n_bytes, last_used in rows
        ),
        text=("data",),
    )
