"""Which tests run one after the other, and which of them begin."""

from pathlib import Path
from typing import Any

import pytest

RAY = ("test_ray", "test_ray_command")
LONGEST_FIRST = (
    *RAY,
    *("test_readme", "test_distributed_command", "test_tune", "test_storage_commands"),
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run the tests of a file in one process, and all that start clusters of Ray.

    Two clusters on one machine would find each other. The groups of pytest-xdist 3.8 are none with
    pytest 9: it sends each of their tests to any process.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return RAY[0] if Path(file).stem in RAY else file

    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take the longest."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
