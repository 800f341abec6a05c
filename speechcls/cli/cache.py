"""``speechcls cache``."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import refuse, reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import AsJsonLines, Quiet, Verbose
from speechcls.cli.tables import print_json, print_table
from speechcls.errors import ConfigError
from speechcls.storage.places import local_path

if TYPE_CHECKING:
    from speechcls.data.cache import StoreInfo

_ACTIONS = ("list", "clear")
_DAY_S = 86_400
_DATA = typer.Argument(
    help="Data sets to list or clear. [default: all]", metavar="[DATA...]", parser=local_path
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
    files are there too. All of it can be removed at any time; the next training makes it again.

    Example: speechcls cache list data/
    """
    if action not in _ACTIONS:
        raise ConfigError(f"no {action!r}; there are {', '.join(_ACTIONS)}", field="action")
    if action == "clear":
        refuse(ctx, ["as_json"], "with clear")
    from speechcls.data.cache import find_stores, remove_store, remove_unpacked
    from speechcls.files import cache_folder

    messages = Messages(quiet, verbose)
    stores = find_stores()
    if data:
        sources = {str(folder.resolve()) for folder in data}
        stores = [store for store in stores if store.source in sources]
        for source in sorted(sources - {store.source for store in stores}):
            messages.warn(f"{source}: nothing in the cache")
    if action == "clear":
        for store in stores:
            remove_store(store)
        n_bytes = sum(store.n_bytes for store in stores) + (0 if data else remove_unpacked())
        freed = f"{n_bytes / 1e6:,.1f} MB freed in {cache_folder()}"
        messages.note(f"{len(stores)} stores removed, {freed}")
    elif as_json:
        for store in stores:
            print_json(_as_object(store))
    elif stores:
        _print_table(stores)
    else:
        messages.note(f"the cache {cache_folder()} is empty")


def _as_object(store: "StoreInfo") -> dict[str, object]:
    return {
        "source": store.source,
        "sample_rate": store.sample_rate,
        "clips": store.n_clips,
        "bytes": store.n_bytes,
        "used": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(store.last_used)),
        "path": str(store.path),
    }


def _print_table(stores: list["StoreInfo"]) -> None:
    print_table(
        ("data", "Hz", "clips", "MB", "days since use"),
        (
            (
                store.source,
                str(store.sample_rate),
                f"{store.n_clips:,}",
                f"{store.n_bytes / 1e6:,.1f}",
                f"{(time.time() - store.last_used) / _DAY_S:.1f}",
            )
            for store in stores
        ),
        text=("data",),
    )
