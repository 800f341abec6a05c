"""Export, score and save a trained recogniser."""

import copy
import dataclasses
import hashlib
import math
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

import speechcls
from speechcls.artifact.calibration import Calibration, save_calibration
from speechcls.artifact.format import Artifact, Weights
from speechcls.artifact.snapshots import snapshot_bytes
from speechcls.artifact.store import load_artifact, save_artifact
from speechcls.audio.samples import to_pcm
from speechcls.audio.wav import wav_bytes
from speechcls.data.corpus import Corpus
from speechcls.errors import ArtifactError, ConfigError
from speechcls.evaluation.calibration import calibrate
from speechcls.evaluation.metrics import Scores, score
from speechcls.export.onnx import export_onnx, export_stream
from speechcls.files import write_atomic
from speechcls.labels import UNKNOWN, is_reserved, map_label
from speechcls.networks.recogniser import Recogniser
from speechcls.networks.size import count_multiply_adds, count_parameters
from speechcls.parallel import default_jobs
from speechcls.render.curves import draw_curves
from speechcls.render.figures import render_figure
from speechcls.runtime.session import open_session, run_windows
from speechcls.synthesis.rejects import make_test_sound
from speechcls.training.optimisation import FitResult
from speechcls.training.settings import TrainSettings

Indices = npt.NDArray[np.int64]
T = TypeVar("T")

_UNKNOWN_MAX = 0.005
"""Largest ratio of validation words that may be lost to ``_unknown_``."""
_BIAS_MAX = 4.0
"""Largest bias against ``_unknown_``, in units of logits."""
_LOSS_MAX = 0.02
"""Largest ratio of a label's words that a threshold may lose to reject other sounds."""
_SCORED_AT_ONCE = 1_024
"""Clips whose samples are in memory as floats: 64 MiB of one second."""


def check_exportable(arch: str, recogniser: Recogniser, labels: Sequence[str]) -> None:
    """Refuse a network of another package that cannot be exported, before it is trained.

    Parameters
    ----------
    arch : its name

    Raises
    ------
    ConfigError
        When exporting it fails, or it has operators that no model may have.
    """
    if type(recogniser.network).__module__.startswith("speechcls."):
        return
    copied = copy.deepcopy(recogniser)
    try:
        export_onnx(copied, list(labels))
        export_stream(copied, list(labels))
    except (ArtifactError, RuntimeError) as error:  # torch's own is a RuntimeError
        reason = str(error).partition("\n")[0].partition(";")[0]
        raise ConfigError(
            f"{arch} cannot be exported ({reason}); build it of other operators", field="arch"
        ) from error


def save_trained(
    artifact: Artifact,
    recogniser: Recogniser,
    corpus: Corpus,
    result: FitResult,
    settings: TrainSettings,
    device: str,
    force: bool,
) -> Scores:
    """Write a trained recogniser to ``artifact.path``; return its scores on the validation clips.

    The scores are those of the exported graph, which is what users run.

    Raises
    ------
    ArtifactError
        When graph and network differ, or the model cannot be written.
    """
    labels = list(artifact.labels)
    snapshots = _finished_snapshots(recogniser, corpus, result, settings.data.closed)
    graph, stream = export_onnx(recogniser, labels), export_stream(recogniser, labels)
    scores = _score_validation(graph, corpus)
    metrics = _metrics(recogniser, corpus, result, settings, device, scores)
    weights = {name: tensor.numpy() for name, tensor in recogniser.state_dict().items()}
    sections = settings.to_sections()
    save_artifact(
        artifact,
        weights,
        graph,
        metrics,
        corpus.rows,
        force,
        stream,
        curves=render_figure(draw_curves(metrics["history"]), "png"),
        settings={name: sections[name] for name in ("training", "data")},
        snapshots=snapshot_bytes(snapshots) if snapshots else None,
    )
    return scores


def _finished_snapshots(
    recogniser: Recogniser, corpus: Corpus, result: FitResult, is_closed: bool
) -> dict[int, Weights]:
    """Return the weights of each snapshot by epoch, finished as those of the model are."""
    finished, snapshot = {}, copy.deepcopy(recogniser)
    for epoch, state in result.snapshots.items():
        snapshot.load_state_dict(state)
        if not is_closed:
            favour_words(snapshot, corpus)
        state = snapshot.state_dict()
        finished[epoch] = {name: tensor.numpy().copy() for name, tensor in state.items()}
    return finished


def save_with_fallback(save: Callable[[Path], T], place: Path) -> tuple[T, ArtifactError | None]:
    """Save to ``place``, else to the temporary folder: hours of training must not be lost.

    Returns
    -------
    what ``save`` returned, and why ``place`` was not written; None if it was
    """
    try:
        return save(place), None
    except ArtifactError as error:
        try:
            fallback = Path(tempfile.mkdtemp(prefix="speechcls-"))
        except OSError:
            raise error from None
        try:
            return save(fallback / place.name), error
        except ArtifactError:
            fallback.rmdir()
            raise error from None


def favour_words(recogniser: Recogniser, corpus: Corpus) -> float:
    """Lower the logits of ``_unknown_`` until hardly a word of validation is taken for it.

    Sounds that are made to be rejected are many, and the network expects them as often. What the
    bias lets pass meets the thresholds of detection.

    Returns
    -------
    the bias, 0 or less, with which at most ``_UNKNOWN_MAX`` of the other validation clips are lost
    to ``_unknown_``; 0 where the data has other words of its own
    """
    layer = getattr(recogniser.network, recogniser.network.output_layer)
    has_bias = isinstance(getattr(layer, "bias", None), torch.Tensor)
    if not has_bias or UNKNOWN not in corpus.labels:
        return 0.0
    unknown = corpus.labels.index(UNKNOWN)
    if len(corpus.training_clips(unknown)):
        return 0.0  # other words of the data say how likely they are
    reserved = [i for i, label in enumerate(corpus.labels) if is_reserved(label)]
    is_word = ~np.isin(corpus.label_index, reserved)
    chosen = np.flatnonzero((corpus.split == "validation") & is_word)
    if not len(chosen):
        return 0.0
    with torch.no_grad():
        parts = [recogniser(torch.from_numpy(corpus.samples(part))) for part in _parts_of(chosen)]
    logits, truth = torch.cat(parts).numpy(), corpus.label_index[chosen]
    others = np.delete(logits, unknown, axis=1).max(axis=1)
    # Right but for ``_unknown_``: what is lost to it is won back by a bias below this difference.
    is_right = others == logits[np.arange(len(truth)), truth]
    margins = np.sort((others - logits[:, unknown])[is_right])
    n_lost = math.floor(_UNKNOWN_MAX * len(truth))
    margin = float(margins[n_lost]) if n_lost < len(margins) else 0.0
    bias = max(-_BIAS_MAX, min(0.0, margin))
    shift_unknown(recogniser, corpus, bias)
    return bias


def shift_unknown(recogniser: Recogniser, corpus: Corpus, bias: float) -> None:
    """Add to the logits of the words of ``_unknown_``."""
    outputs = [
        i for i, word in enumerate(corpus.words) if map_label(word, corpus.labels) == UNKNOWN
    ]
    layer = getattr(recogniser.network, recogniser.network.output_layer)
    with torch.no_grad():
        layer.bias[outputs] += bias


def _parts_of(clips: Indices) -> list[Indices]:
    """Return indices (n,) in parts that fit into memory as floats."""
    return [clips[i : i + _SCORED_AT_ONCE] for i in range(0, len(clips), _SCORED_AT_ONCE)]


def calibrate_trained(place: Path, corpus: Corpus) -> Calibration:
    """Choose thresholds and temperature of a saved model, and write them; return them.

    By its validation clips, and by sound that is made for it and has none of its words.

    Raises
    ------
    ArtifactError
        When they cannot be written.
    """
    artifact = load_artifact(place)
    words = [label for label in artifact.labels if not is_reserved(label)]
    rate = artifact.features.sample_rate
    with tempfile.TemporaryDirectory(prefix="speechcls-") as folder:
        sound = Path(folder, "other sounds.wav")
        write_atomic(sound, wav_bytes(to_pcm(make_test_sound(words, rate)), rate))
        clips = corpus.store("validation")
        calibration, _ = calibrate(artifact, words, [sound], clips, loss_max=_LOSS_MAX)
    save_calibration(artifact, calibration)
    return calibration


def _metrics(
    recogniser: Recogniser,
    corpus: Corpus,
    result: FitResult,
    settings: TrainSettings,
    device: str,
    scores: Scores,
) -> dict[str, Any]:
    """Return the content of ``metrics.json``: settings, history and scores of a training."""
    features = recogniser.features.config
    frames = torch.zeros(1, features.n_frames, features.n_features)
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "validation": scores.to_dict(),
        "best_epoch": result.best.epoch if result.best else None,
        "interrupted": result.interrupted,
        "diverged": result.diverged,
        "history": [dataclasses.asdict(epoch) for epoch in result.history],
        "n_parameters": count_parameters(recogniser),
        "multiply_adds": count_multiply_adds(recogniser.network, frames),
        "training": settings.training.to_dict(),
        "commands": list(settings.data.commands),
        "device": device,
        "data": {
            "n_clips": {
                str(name): int(n)
                for name, n in zip(*np.unique(corpus.split, return_counts=True), strict=True)
            },
            "n_bad": len(corpus.bad),
            "sha256": hash_data(corpus),
            **({"address": corpus.address} if corpus.address else {}),
        },
        "versions": {
            "speechcls": speechcls.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
        },
    }


def hash_data(corpus: Corpus) -> str:
    """Return a hash of all clips and their labels, in whatever order they were found."""
    data_hash = hashlib.sha256()
    for row in sorted(f"{row.label}\0{row.digest}" for row in corpus.rows):
        data_hash.update(row.encode("utf-8", "surrogateescape"))
    return data_hash.hexdigest()


def predict_validation(graph: bytes, corpus: Corpus) -> Indices:
    """Return the index (n_validation,) of the label that a graph predicts for validation clips."""
    chosen = np.flatnonzero(corpus.split == "validation")
    session, jobs = open_session(graph), default_jobs()
    rows = [run_windows(session, corpus.samples(part), jobs) for part in _parts_of(chosen)]
    predicted: Indices = np.concatenate(rows).argmax(axis=1)
    return predicted


def _score_validation(graph: bytes, corpus: Corpus) -> Scores:
    chosen = np.flatnonzero(corpus.split == "validation")
    return score(
        corpus.label_index[chosen],
        predict_validation(graph, corpus),
        corpus.labels,
        [corpus.rows[i].speaker for i in chosen],
    )
