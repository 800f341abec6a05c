"""Trained weights from disk: of a whole recogniser, or of all its layers but the last."""

import torch

from speechcls.artifact.format import WEIGHTS, Artifact
from speechcls.artifact.store import load_weights
from speechcls.errors import ArtifactError
from speechcls.labels import label_indices
from speechcls.networks.recogniser import Recogniser, build_recogniser


def load_backbone(recogniser: Recogniser, source: Artifact) -> None:
    """Copy feature statistics and all layers but the last from a model into ``recogniser``.

    Raises
    ------
    ArtifactError
        When the model's weights are missing, damaged or of another network.
    """
    weights = load_weights(source)
    state = recogniser.state_dict()
    output_layer = f"network.{recogniser.network.output_layer}."
    backbone = {name for name in state if not name.startswith(output_layer)}
    if mismatched := sorted(
        name for name in backbone if name not in weights or weights[name].shape != state[name].shape
    ):
        raise ArtifactError(
            f"{source.path / WEIGHTS}: does not fit config.json ({', '.join(mismatched[:3])});"
            " copy the model again"
        )
    recogniser.load_state_dict(
        {
            name: torch.from_numpy(weights[name]) if name in backbone else value
            for name, value in state.items()
        }
    )


def load_recogniser(artifact: Artifact) -> Recogniser:
    """Return a trained recogniser with its weights, ready to run.

    Raises
    ------
    ArtifactError
        When the model's weights are missing, damaged or of another network.
    """
    label_of_output = label_indices(artifact.words, artifact.labels)
    recogniser = build_recogniser(artifact.features, artifact.network, label_of_output, seed=0)
    weights = {name: torch.from_numpy(array) for name, array in load_weights(artifact).items()}
    try:
        recogniser.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(
            f"{artifact.path / WEIGHTS}: does not fit config.json; copy the model again"
        ) from error
    return recogniser.eval()
