"""Data of a training read once on each machine, for all of its processes."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from speechcls.data.cache import reporting_disk_errors
from speechcls.data.clips import Cut, cut_windows, map_windows
from speechcls.distributed.group import Group
from speechcls.files import cache_folder
from speechcls.scratch import WHOLE, open_scratch

_NAME = "windows"

T = TypeVar("T")


def read_once(group: Group, read: Callable[[Cut], T]) -> T:
    """Return what ``read`` does, first in one process of each machine, then in the others.

    The first one decodes and packs what the others then find in the cache, and cuts the windows
    into a file that they map. It is removed when they have.

    Parameters
    ----------
    read : called with what cuts windows

    Raises
    ------
    PeerError
        When it failed in another process.
    """
    if group.is_alone:
        return read(cut_windows)
    place, own = group.place, ""
    is_first = place.local_rank == 0
    with ExitStack() as stack:

        def read_first() -> T:
            nonlocal own
            with reporting_disk_errors(folder := cache_folder()):
                folder.mkdir(parents=True, exist_ok=True)
                own = str(stack.enter_context(open_scratch(folder, _NAME)) / WHOLE)
            return read(partial(cut_windows, path=Path(own)))

        done = group.in_turn(read_first, is_first)
        path = Path(group.gather(own)[place.rank - place.local_rank])
        rest = group.in_turn(lambda: read(partial(map_windows, path=path)), not is_first)
    result = done if is_first else rest
    assert result is not None
    return result
