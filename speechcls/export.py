"""A trained recogniser as ``model.onnx``: samples in, probabilities out, no torch needed."""

import dataclasses
import hashlib
import io
import platform
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

import speechcls
from speechcls.artifact import Artifact, save_artifact
from speechcls.classifier import default_jobs, describe_graph, open_session, run_windows
from speechcls.config import TrainConfig
from speechcls.corpus import Corpus
from speechcls.errors import ArtifactError
from speechcls.metrics import Scores, score
from speechcls.recogniser import Recogniser, count_multiply_adds, count_parameters
from speechcls.training import FitResult

OPSET = 17
TOLERANCE = 1e-4
"""Largest difference of a probability between torch and ONNX Runtime that is accepted."""


class _Probabilities(nn.Module):
    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        self.recogniser = recogniser

    def forward(self, samples: Tensor) -> Tensor:
        return self.recogniser(samples).softmax(dim=1)  # type: ignore[no-any-return]


def export_onnx(recogniser: Recogniser, labels: list[str]) -> bytes:
    """Return the ONNX graph of a recogniser, after comparing it with torch.

    Its input ``samples`` is (batch, n_samples) float32 in [-1, 1], batch and length free; its
    output ``probabilities`` is (batch, n_labels) float32. Labels and sample rate stand in its
    metadata.

    Raises
    ------
    ArtifactError
        When ONNX Runtime's probabilities differ from torch's by more than ``TOLERANCE``.
    """
    config = recogniser.features.config
    model = _Probabilities(recogniser).to("cpu").eval()
    generator = torch.Generator().manual_seed(0)
    samples = 0.1 * torch.randn(3, config.n_samples, generator=generator)
    samples[2] = 0.0  # digital silence, the extreme that every set of recordings holds
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter by tracing is the one that keeps batch and length free for recurrent
        # layers; it calls itself deprecated and warns of the batch size, which is tested below.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (samples[:2],),
            buffer,  # type: ignore[arg-type]  # the exporter by tracing takes a stream
            dynamo=False,
            opset_version=OPSET,
            input_names=["samples"],
            output_names=["probabilities"],
            dynamic_axes={
                "samples": {0: "batch", 1: "n_samples"},
                "probabilities": {0: "batch"},
            },
        )
        expected = model(samples).numpy()
    graph = _simplify(buffer.getvalue())
    for key, value in describe_graph(labels, config.sample_rate).items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value
    content: bytes = graph.SerializeToString()
    answer = open_session(content).run(None, {"samples": samples.numpy()})[0]
    difference = float(np.abs(answer - expected).max())
    if not difference <= TOLERANCE:
        raise ArtifactError(
            f"model.onnx differs from torch by {difference:.2g}; please report this"
        )
    return content


def _simplify(content: bytes) -> onnx.ModelProto:
    """Return a graph without what can be computed once, in operators that every engine has.

    Half of the time that a graph takes to load goes into this; here it is done for all.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        with tempfile.TemporaryDirectory() as folder:
            options.optimized_model_filepath = str(Path(folder, "simple.onnx"))
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            graph = onnx.load(options.optimized_model_filepath)
    except Exception as error:  # a full disk, of which ONNX Runtime says something of its own
        if not isinstance(error, OSError) and not type(error).__module__.startswith("onnxruntime"):
            raise
        return onnx.load_from_string(content)
    # ONNX Runtime names every set of operators that it knows, not only those in the graph.
    used = [entry for entry in graph.opset_import if not entry.domain]
    del graph.opset_import[:]
    graph.opset_import.extend(used)
    return graph


def save_trained(
    artifact: Artifact,
    recogniser: Recogniser,
    corpus: Corpus,
    result: FitResult,
    config: TrainConfig,
    device: str,
    commands: list[str],
    force: bool,
) -> Scores:
    """Write a trained recogniser to ``artifact.path``; return its scores on the validation clips.

    The scores are those of the exported graph, as everybody will run it.

    Raises
    ------
    ArtifactError
        When the graph is not equal to the network, or the place cannot be written.
    """
    graph = export_onnx(recogniser, list(artifact.labels))
    scores = _score_validation(graph, corpus)
    data_hash = hashlib.sha256()
    for row in sorted(f"{row.label}\0{row.digest}" for row in corpus.rows):
        data_hash.update(row.encode("utf-8", "surrogateescape"))
    features = recogniser.features.config
    frames = torch.zeros(1, features.n_frames, features.n_features)
    metrics = {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "validation": scores.to_dict(),
        "best_epoch": result.best.epoch if result.best else None,
        "interrupted": result.interrupted,
        "history": [dataclasses.asdict(epoch) for epoch in result.history],
        "n_parameters": count_parameters(recogniser),
        "multiply_adds": count_multiply_adds(recogniser.network, frames),
        "training": config.to_dict(),
        "commands": commands,
        "device": device,
        "data": {
            "n_clips": {
                str(name): int(n)
                for name, n in zip(*np.unique(corpus.split, return_counts=True), strict=True)
            },
            "n_bad": len(corpus.bad),
            "sha256": data_hash.hexdigest(),
        },
        "versions": {
            "speechcls": speechcls.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
        },
    }
    weights = {name: tensor.numpy() for name, tensor in recogniser.state_dict().items()}
    save_artifact(artifact, weights, graph, metrics, corpus.rows, force)
    return scores


def _score_validation(graph: bytes, corpus: Corpus) -> Scores:
    chosen = np.flatnonzero(corpus.split == "validation")
    probabilities = run_windows(open_session(graph), corpus.windows[chosen], default_jobs())
    return score(
        corpus.label_index[chosen],
        probabilities.argmax(axis=1),
        corpus.labels,
        [corpus.rows[i].speaker for i in chosen],
    )
