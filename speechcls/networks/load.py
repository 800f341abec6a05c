"""Trained weights from disk: of a whole recogniser, or what another one starts from."""

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor

from speechcls.artifact.format import SNAPSHOTS, WEIGHTS, Artifact, Weights
from speechcls.artifact.snapshots import load_snapshots
from speechcls.artifact.store import load_weights
from speechcls.audio.samples import Samples
from speechcls.errors import ArtifactError
from speechcls.labels import SILENCE, is_reserved, label_indices
from speechcls.networks.recogniser import Recogniser, build_recogniser

_SIMILAR_RATIO = 0.3
"""A known word that so many of a word's clips are taken for sounds like it."""
_BATCH = 64
"""Clips that are recognised at once."""


def load_backbone(recogniser: Recogniser, source: Artifact, words: Sequence[str] = ()) -> None:
    """Copy feature statistics and all layers but the last from a model into ``recogniser``.

    Of the last layer the outputs are copied that stand for a word of both.

    Parameters
    ----------
    words : in the order of the recogniser's outputs

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
    known = [i for i, word in enumerate(words) if word in source.words and not is_reserved(word)]
    there = [source.words.index(words[i]) for i in known]
    for name, value in state.items():
        own = weights.get(name)
        if name in backbone:
            value.copy_(torch.from_numpy(weights[name]))
        elif known and own is not None and own.shape == (len(source.words), *value.shape[1:]):
            value[known] = torch.from_numpy(own[there])


def find_other_words(
    source: Artifact, words: Collection[str], clips: Iterable[Samples]
) -> tuple[str, ...]:
    """Return the words that a model knows, without those which any of the own words sounds like.

    Parameters
    ----------
    words : those that are no other words
    clips : (n_clips, n_samples) of each own word, at the model's sample rate

    Raises
    ------
    ArtifactError
        When the model's weights are missing, damaged or of another network.
    """
    recogniser, similar = load_recogniser(source), set(words)
    for samples in clips:
        answers = _recognise_words(recogniser, source.words, torch.from_numpy(samples))
        counts = answers.bincount(minlength=len(source.words))
        chosen = (counts >= _SIMILAR_RATIO * len(samples)).nonzero().squeeze(1)
        similar |= {source.words[i] for i in chosen}
    return tuple(word for word in source.words if not is_reserved(word) and word not in similar)


@torch.no_grad()
def _recognise_words(recogniser: Recogniser, words: Sequence[str], samples: Tensor) -> Tensor:
    """Return the index (n_clips,) of the most probable output of each clip, but for silence."""
    answers = []
    for batch in torch.split(samples, _BATCH):
        scores = recogniser.network(recogniser.extract_features(batch)).softmax(dim=-1)
        scores = scores if scores.dim() == 2 else scores.amax(dim=1)  # of all steps of a stream
        if SILENCE in words:
            scores[:, words.index(SILENCE)] = 0.0
        answers.append(scores.argmax(dim=1))
    return torch.cat(answers)


def load_recogniser(artifact: Artifact) -> Recogniser:
    """Return a trained recogniser with its weights, ready to run.

    Raises
    ------
    ArtifactError
        When the model's weights are missing, damaged or of another network.
    """
    return _restore(artifact, load_weights(artifact), WEIGHTS)


def load_snapshot_recognisers(artifact: Artifact) -> dict[int, Recogniser]:
    """Return the recogniser of each snapshot by its epoch; none of a model without snapshots.

    Raises
    ------
    ArtifactError
        When the model's snapshots are damaged or of another network.
    """
    snapshots = load_snapshots(artifact)
    return {epoch: _restore(artifact, arrays, SNAPSHOTS) for epoch, arrays in snapshots.items()}


def _restore(artifact: Artifact, arrays: Weights, file: str) -> Recogniser:
    """Return a recogniser with the weights of a file."""
    config = artifact.network
    misfit = ArtifactError(
        f"{artifact.path / file}: does not fit config.json; copy the model again"
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
