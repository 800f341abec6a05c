"""Files that are written whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``; who reads it meanwhile, or after a failure, finds what was."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".speechcls-") as scratch:
        whole = Path(scratch, "whole")
        with whole.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(path)
