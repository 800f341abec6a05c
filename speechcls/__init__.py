"""Train, evaluate and run speech-command recognisers from a folder of short recordings.

What this package offers is loaded at its first use, so that ``import speechcls`` costs nothing:
``Classifier`` labels clips, ``StreamingClassifier`` finds words in running sound, ``load_dataset``
finds the clips of a data set, ``check`` finds faults in one, ``train`` makes a model of it, and
``evaluate`` scores a model on it. Everything else is importable from its package, whose docstring
names the modules.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# From 1.32 on ONNX Runtime reports to its makers, unless this is set before it is imported; here it
# is, whatever module of speechcls comes first, and worker processes inherit it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from speechcls.data_quality.check import check
    from speechcls.evaluation.score import evaluate
    from speechcls.layouts.load import load_dataset
    from speechcls.runtime.classifier import Classifier
    from speechcls.runtime.streaming import StreamingClassifier
    from speechcls.training.run import train

__version__ = "0.1.0"
__all__ = ["Classifier", "StreamingClassifier", "check", "evaluate", "load_dataset", "train"]

_HOMES = {
    "Classifier": "runtime.classifier",
    "StreamingClassifier": "runtime.streaming",
    "check": "data_quality.check",
    "evaluate": "evaluation.score",
    "load_dataset": "layouts.load",
    "train": "training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'speechcls' has no attribute {name!r}")
    return getattr(import_module(f"speechcls.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
