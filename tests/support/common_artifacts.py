"""Models without a network, which only lie on disk."""

from speechcls.artifact.format import Artifact
from speechcls.artifact.store import save_artifact
from speechcls.config import FeatureConfig, NetworkConfig


def save(path, labels=("no", "yes"), force=False, words=None):
    """Save a model of default features and network."""
    model = Artifact(path, FeatureConfig(), NetworkConfig(), labels, words or labels)
    save_artifact(model, {}, b"graph", {}, [], force)
