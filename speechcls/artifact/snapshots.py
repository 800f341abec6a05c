"""The weights of a network at the end of some epochs of its training, in one file of its model."""

import re
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from speechcls.artifact.format import SNAPSHOTS, Artifact, Weights
from speechcls.artifact.manifest import read_file
from speechcls.artifact.store import damaged

_IS_EPOCH = re.compile(r"[1-9][0-9]{0,8}")
_EPOCH = "epoch."
"""A tensor is called ``epoch.<number>.<name in weights.safetensors>``."""


def snapshot_bytes(snapshots: Mapping[int, Mapping[str, npt.NDArray[np.float32]]]) -> bytes:
    """Return the content of ``snapshots.safetensors``.

    Parameters
    ----------
    snapshots : all weights by name, by the epoch (from 1)
    """
    from safetensors.numpy import save

    tensors = {
        f"{_EPOCH}{epoch}.{name}": np.asarray(array, order="C")
        for epoch, weights in sorted(snapshots.items())
        for name, array in weights.items()
    }
    return save(tensors)


def load_snapshots(artifact: Artifact) -> dict[int, Weights]:
    """Return the weights by epoch, the first one first; none of a model without snapshots.

    Raises
    ------
    ArtifactError
        When ``snapshots.safetensors`` is damaged, or missing although the manifest names it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = artifact.path / SNAPSHOTS
    if SNAPSHOTS not in artifact.digests and not path.exists():
        return {}
    snapshots: defaultdict[int, Weights] = defaultdict(dict)
    try:
        for key, array in load(read_file(artifact, SNAPSHOTS)).items():
            number, _, name = key.removeprefix(_EPOCH).partition(".")
            if not key.startswith(_EPOCH) or not _IS_EPOCH.fullmatch(number):
                raise ValueError(f"{key!r:.100} is of no snapshot")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"{key!r:.100} is not finite")
            snapshots[int(number)][name] = array
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise damaged(path, error) from error
    return dict(sorted(snapshots.items()))
