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
    arrays, config = load_weights(artifact), artifact.network
    misfit = ArtifactError(
        f"{artifact.path / WEIGHTS}: does not fit config.json; copy the model again"
    )
    # A layer has about as many weights as the square of its units; made from a damaged
    # configuration alone, it could take all memory.
    n_weights = sum(array.size for array in arrays.values())
    if config.hidden_size**2 * config.num_layers > 16 * n_weights + 2**24:
        raise misfit
    label_of_output = label_indices(artifact.words, artifact.labels)
    recogniser = build_recogniser(artifact.features, config, label_of_output, seed=0)
    try:
        recogniser.load_state_dict(
            {name: torch.from_numpy(array) for name, array in arrays.items()}
        )
    except (RuntimeError, TypeError) as error:
        raise misfit from error
    return recogniser.eval()
