"""``speechcls cache``."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import AsJsonLines, Quiet
from speechcls.cli.tables import print_table
from speechcls.errors import ConfigError

_DAY_S = 86_400


@reports_errors
def cache(
    action: Annotated[str, typer.Argument(help="list or clear.")] = "list",
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of data whose clips are meant. [default: all]"),
    ] = None,
    as_json: AsJsonLines = False,
    quiet: Quiet = False,
) -> None:
    """List the clips that training has packed, or remove them.

    Training decodes each recording once and keeps its samples in the cache folder. They can be
    removed at any time; the next training makes them again. $SPEECHCLS_CACHE names another folder.

    Example: speechcls cache list data/
    """
    if action not in ("list", "clear"):
        raise ConfigError(f"cache: no {action!r}; there are list, clear")
    from speechcls.data.cache import cache_folder, find_stores, remove_store

    messages = Messages(quiet)
    stores = find_stores()
    if data:
        sources = {str(folder.resolve()) for folder in data}
        stores = [store for store in stores if store.source in sources]
        for source in sorted(sources - {store.source for store in stores}):
            messages.warn(f"{source}: nothing of it is packed")
    if action == "clear":
        for store in stores:
            remove_store(store)
        freed = sum(store.n_bytes for store in stores) / 1e6
        messages.note(f"{len(stores)} stores removed, {freed:,.1f} MB freed in {cache_folder()}")
        return
    if as_json:
        for store in stores:
            line = {
                "source": store.source,
                "sample_rate": store.sample_rate,
                "clips": store.n_clips,
                "bytes": store.n_bytes,
                "used": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(store.used)),
                "path": str(store.path),
            }
            typer.echo(json.dumps(line))
        return
    if not stores:
        messages.note(f"nothing is packed in {cache_folder()}")
        return
    print_table(
        ("data", "Hz", "clips", "MB", "days since use"),
        (
            (
                store.source,
                str(store.sample_rate),
                f"{store.n_clips:,}",
                f"{store.n_bytes / 1e6:,.1f}",
                f"{(time.time() - store.used) / _DAY_S:.1f}",
            )
            for store in stores
        ),
        text=("data",),
    )
