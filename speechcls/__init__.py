"""Train, evaluate and run speech-command recognisers from a folder of short recordings."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speechcls.runtime.classifier import Classifier, Prediction
    from speechcls.runtime.streaming import StreamingClassifier

__version__ = "0.1.0"
__all__ = ["Classifier", "Prediction", "StreamingClassifier", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the engine when it is first asked for, so that ``import speechcls`` costs nothing."""
    if name in ("Classifier", "Prediction"):
        from speechcls.runtime import classifier

        return getattr(classifier, name)
    if name == "StreamingClassifier":
        from speechcls.runtime.streaming import StreamingClassifier

        return StreamingClassifier
    raise AttributeError(f"module 'speechcls' has no attribute {name!r}")
