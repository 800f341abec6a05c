"""A model as graphs of LiteRT, compared with the model by LiteRT's own interpreter."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_weights
from speechcls.audio.samples import PCM, Samples, to_float
from speechcls.deployment.bundle import README, Bundle, Request, readme
from speechcls.deployment.check import (
    Agreement,
    Clips,
    check_agreement,
    compare,
    made_clips,
    model_answers,
    model_stream,
)
from speechcls.litert.engine import Engine, find_ranges
from speechcls.litert.graph import Graph
from speechcls.litert.model import MAKERS
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import Probabilities, temperature_of

CLIP, STREAM = "model.tflite", "stream.tflite"
INTEGERS_OF = {"size": "int16", "speed": "int8"}
"""Type of rounded results by what they are made for."""
_N_CALIBRATION = 64
"""Made sounds by which the range of each result is found."""
_HOW = {
    None: "Everything is float32",
    "int16": "The network has weights of 8 bits and results of 16, its features are float32",
    "int8": "The network has weights and results of 8 bits, its features are float32",
}
_STREAM_HOW = """A stream goes through `stream.tflite` step by step, with the states carried on:

```python
stream = Interpreter("stream.tflite")
stream.allocate_tensors()
run = stream.get_signature_runner()
states = {
    each["name"]: np.full(each["shape"], each["zero"], each["dtype"])
    for each in about["graphs"]["stream.tflite"]["inputs"]
    if each["name"] != "samples"
}
step = run.get_input_details()["samples"]["shape"][1]
for start in range(0, len(samples) - step + 1, step):
    outputs = run(samples=samples[None, start : start + step], **states)
    states = {name: outputs[name + "_next"] for name in states}
    print(start / rate, outputs["probabilities"][0].max())
```
"""
_WINDOW_HOW = """The network needs a whole clip: of a stream give it the newest window every 0.1 s.
"""


def litert_bundle(request: Request, is_int8: bool) -> Bundle:
    """Return the graphs of a model: that of a clip, and of a causal one that of a step too.

    Raises
    ------
    ExportError
        When LiteRT is not installed, the network has no form in it, or what came of it does not
        do what the model does.
    ArtifactError
        When the model is damaged.
    """
    integers = INTEGERS_OF[request.purpose] if is_int8 else None
    names = [CLIP, STREAM] if request.artifact.network.is_streaming else [CLIP]
    graphs = {name: make_graph(request.artifact, name, integers) for name in names}
    about = f"{request.artifact.path.name}, by speechcls"
    files = {name: graph.content(about) for name, graph in graphs.items()}
    checks = check_files(request, files)
    for name, agreement in checks.items():
        check_agreement(name, agreement, is_int8)
    facts = {"integers": integers, "graphs": {name: _ends(each) for name, each in graphs.items()}}
    text = _readme(request, graphs, checks, integers)
    return Bundle({**files, README: text}, checks, facts=facts)


def make_graph(artifact: Artifact, name: str, integers: str | None = None) -> Graph:
    """Return the graph of a file, ``CLIP`` or ``STREAM``.

    Parameters
    ----------
    integers : type of rounded results; None: nothing is rounded

    Raises
    ------
    ExportError
        When LiteRT is not installed, or the network has no form in it.
    ArtifactError
        When the model is damaged.
    """
    make = MAKERS["clip" if name == CLIP else "step"]
    weights, temperature = load_weights(artifact), temperature_of(artifact)
    graph = make(artifact, weights, Graph(), temperature)
    if integers is None:
        return graph
    sounds = made_clips(artifact, _N_CALIBRATION, seed=1)
    ranges = find_ranges(graph, _runs(graph, _sounds(artifact, name, sounds)))
    return make(artifact, weights, Graph(ranges, integers), temperature)


def _sounds(artifact: Artifact, name: str, clips: Clips) -> PCM:
    """Return what a graph is run on: clips one by one, or joined to a stream."""
    if name == CLIP:
        return clips.windows.reshape(-1)
    return clips.joined(artifact.features.sample_rate)


def _runs(graph: Graph, sounds: PCM) -> Iterator[Samples]:
    """Yield the samples (n,) of each run."""
    n = graph.inputs["samples"].shape[1]
    for start in range(0, len(sounds) - n + 1, n):
        yield to_float(sounds[start : start + n])


def check_files(request: Request, files: Mapping[str, bytes]) -> dict[str, Agreement]:
    """Return how far each file, run by LiteRT, agrees with the model."""
    artifact, clips = request.artifact, request.clips
    expected = model_answers(Classifier(artifact, jobs=1), clips)
    found = run_file(files[CLIP], clips.windows.reshape(-1))
    checks = {CLIP: compare(found, expected, clips.truth)}
    if STREAM in files:
        samples = clips.joined(artifact.features.sample_rate)
        checks[STREAM] = compare(run_file(files[STREAM], samples), model_stream(artifact, samples))
    return checks


def run_file(content: bytes, samples: PCM) -> Probabilities:
    """Return what a graph gives (n_runs, n_labels) of all that ``samples`` (n,) fill."""
    engine = Engine(content)
    n = engine.n_samples
    starts = range(0, len(samples) - n + 1, n)
    return np.concatenate([engine.run(to_float(samples[at : at + n])) for at in starts])


def _ends(graph: Graph) -> dict[str, Any]:
    """Return the inputs and outputs of a graph as JSON-ready values, in order."""
    return {
        kind: [
            {
                "name": name,
                "shape": list(value.shape),
                "dtype": value.rounding.dtype if value.rounding else "float32",
                "zero": value.rounding.zero if value.rounding else 0,
            }
            for name, value in ends.items()
        ]
        for kind, ends in (("inputs", graph.inputs), ("outputs", graph.outputs))
    }


def _method(kind: str) -> str:
    """Return how TensorFlow Lite Micro names an operator: FULLY_CONNECTED is FullyConnected."""
    special = {"BATCH_MATMUL": "BatchMatMul", "CONV_2D": "Conv2D"}
    return special.get(kind, "".join(part.capitalize() for part in kind.split("_")))


def _readme(
    request: Request,
    graphs: Mapping[str, Graph],
    checks: Mapping[str, Agreement],
    integers: str | None,
) -> bytes:
    name = STREAM if STREAM in graphs else CLIP
    graph = graphs[name]
    n = graph.inputs["samples"].shape[1]
    rate = request.artifact.features.sample_rate
    rows = [f"| `{CLIP}` | a whole clip: `samples` to `probabilities` |"]
    if name == STREAM:
        rows.append(
            f"| `{STREAM}` | a step of a stream, {n} samples ({1e3 * n / rate:g} ms):"
            " `samples` and states to `probabilities` and the states after it |"
        )
    return readme(
        request,
        "litert.md",
        checks,
        how=_HOW[integers],
        graphs="\n".join(rows),
        file=name,
        stream=_STREAM_HOW if name == STREAM else _WINDOW_HOW,
        n_kinds=len(graph.kinds),
        kinds="\n".join(f"resolver.Add{_method(kind)}();" for kind in graph.kinds),
    )
