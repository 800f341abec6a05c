"""C99 of a causal network with its features: tables, a header, and one function for a step."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.artifact.constants import Matrix, feature_tables, round_rows
from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_weights
from speechcls.config import FeatureConfig
from speechcls.deployment.bundle import filled, own_file
from speechcls.deployment.c_network import CausalNetwork, Convolution, read_network
from speechcls.errors import ExportError
from speechcls.labels import label_indices
from speechcls.text import printable

HEADER, SOURCE, TABLES = "speechcls_model.h", "speechcls_model.c", "speechcls_tables.h"
_PER_LINE = 12
WIDEST = 8_000
"""Largest number of products, of 8 by 12 bits, that are summed in 32 bits."""
_NEVER = 2.0
"""Threshold of a label that is no event."""


def c_files(artifact: Artifact, facts: Mapping[str, Any], is_int8: bool) -> dict[str, bytes]:
    """Return header, source and tables of a model.

    Parameters
    ----------
    facts : of ``bundle.facts_of``
    is_int8 : whether weights are rounded to 8 bits, with a scale for each row

    Raises
    ------
    ExportError
        When it has no form in C.
    ArtifactError
        When its weights are missing, damaged or of another network.
    """
    network = read_network(artifact)
    widest = max(each.weights.shape[1] for each in network.matrices)
    if is_int8 and widest > WIDEST:
        raise ExportError(
            f"{artifact.path}: a layer has {widest} inputs, whose sums of rounded products would"
            " not fit into 32 bits; export it with float weights"
        )
    values = _values(artifact, network, facts, is_int8)
    return {
        HEADER: filled("model.h", values),
        SOURCE: _source(artifact, network, is_int8),
        TABLES: "\n".join(_tables(artifact, network, values, is_int8)).encode(),
    }


def _values(
    artifact: Artifact, network: CausalNetwork, facts: Mapping[str, Any], is_int8: bool
) -> dict[str, object]:
    """Return what the header has of a model."""
    features = artifact.features
    n_hidden, n_layers = network.hidden_size, len(network.layers)
    n_states = n_hidden * (2 if network.cell == "lstm" else 1)
    maps = [convolution.n_values for convolution in network.convolutions]
    if network.block:
        maps = [(2 * network.frames_per_step - 1) * features.n_features]
    last = network.convolutions[-1] if network.convolutions else None
    n_rounded = max([*maps, *(each.weights.shape[1] for each in network.matrices)])
    maps.append(last.n_bands_out * last.n_outputs if last else features.n_features)
    n_spectrum = features.n_fft + features.n_fft // 2 + 1 + features.n_mels
    n_words = len(artifact.words)
    n_cells = n_hidden + 2 * network.n_gates * n_hidden
    return {
        "model": printable(facts["model"]),
        "arch": artifact.network.arch,
        "version": facts["speechcls"],
        "sample_rate": features.sample_rate,
        "step": features.hop_length * network.frames_per_step,
        "n_labels": len(artifact.labels),
        "n_fft": features.n_fft,
        "maps": "\n".join(f"  float maps{i}[{size}];" for i, size in enumerate(maps)),
        "rounded": f"\n  int16_t rounded[{n_rounded}];" if is_int8 else "",
        "n_layers": n_layers,
        "n_states": n_states,
        "n_work": max(n_spectrum, n_cells, n_words),
        "temperature": facts["temperature"],
        "labels": ", ".join(_string(label) for label in artifact.labels),
        "thresholds": ", ".join(
            _float(facts["thresholds"].get(label, _NEVER)) for label in artifact.labels
        ),
    }


def _string(text: str) -> str:
    """Return text as a literal of C, in UTF-8."""
    plain = {byte: chr(byte) for byte in range(32, 127) if chr(byte) not in '"\\?'}
    return (
        '"'
        + "".join(
            plain.get(byte, f"\\{byte:03o}") for byte in text.encode("utf-8", "backslashreplace")
        )
        + '"'
    )


def _source(artifact: Artifact, network: CausalNetwork, is_int8: bool) -> bytes:
    parts = ["model_head.c", "features.c", "int8.c" if is_int8 else "float.c", "layers.c"]
    parts += ["sigmoid.c"] if network.cell != "rnn" else []
    parts += [f"cell_{network.cell}.c"]
    parts += ["convolution.c"] if network.convolutions else []
    body = {"step_body": "\n".join(_step(artifact, network))}
    return b"".join([*map(own_file, parts), filled("model_tail.c", body)])


def _step(artifact: Artifact, network: CausalNetwork) -> Iterator[str]:
    """Yield the lines that take a step from samples to logits."""
    n_features = artifact.features.n_features
    before = 0
    if network.convolutions:
        before = network.convolutions[0].width - 1
    elif network.block:
        before = network.frames_per_step - 1
    yield "  for (int i = 0; i < FRAMES_PER_STEP; i++) {"
    yield "    take_samples(state, samples + i * HOP_LENGTH);"
    yield f"    frame_features(state, state->maps0 + ({before} + i) * {n_features});"
    yield "  }"
    yield "  float *values = state->work, *work = state->work + N_HIDDEN;"
    if network.convolutions:
        following = [*network.convolutions[1:], None]
        for i, after in enumerate(following):
            kept = (after.width - 1) * after.n_bands * after.n_inputs if after else 0
            yield f"  convolve(state, &STAGE{i}, state->maps{i}, state->maps{i + 1} + {kept});"
            yield f"  keep_frames(&STAGE{i}, state->maps{i});"
        yield f"  linear(state, &PROJECT, state->maps{len(following)}, values);"
    elif network.block:
        kept = network.frames_per_step - 1
        yield "  linear(state, &BLOCK, state->maps0, values);"
        yield "  for (int i = 0; i < N_HIDDEN; i++) values[i] = fmaxf(values[i], 0.0f);"
        yield (
            f"  memmove(state->maps0, state->maps0 + {network.frames_per_step * n_features},"
            f" sizeof(float) * {kept * n_features});"
        )
    else:
        yield "  values = state->maps0;"
    for i in range(len(network.layers)):
        yield f"  cell(state, &INPUT{i}, &STATE{i}, values, state->hidden[{i}], work);"
        yield f"  values = state->hidden[{i}];"
    yield "  linear(state, &OUTPUT, values, state->work);"


def _tables(
    artifact: Artifact, network: CausalNetwork, values: Mapping[str, Any], is_int8: bool
) -> Iterator[str]:
    """Yield the lines of the header with all constants."""
    features, weights = artifact.features, load_weights(artifact)
    yield f"/* Constants of {values['model']}; included by {SOURCE} alone. */"
    for name, value in _constants(artifact, network, values).items():
        yield f"#define {name} {value}"
    yield f"#define SCALE(m, row) {'(m)->scale[row]' if is_int8 else '1.0f'}"
    yield f"typedef {'int8_t' if is_int8 else 'float'} weight_value;"
    yield from _feature_tables(features)
    yield from _array("FEATURE_MEAN", weights["feature_mean"])
    yield from _array("FEATURE_STD", weights["feature_std"])
    words = label_indices(artifact.words, artifact.labels)
    yield from _array("LABEL_OF_WORD", _indices(words))
    scale = "const float *scale; " if is_int8 else ""
    yield "typedef struct {"
    yield f"  const weight_value *weights; const float *bias; {scale}int n_rows, n_columns;"
    yield "} matrix;"
    if network.convolutions:
        names = ", ".join(_CONVOLUTION_FIELDS)
        yield f"typedef struct {{ matrix kernel; int {names}; }} convolution;"
    for i, convolution in enumerate(network.convolutions):
        yield from _matrix(f"STAGE{i}", convolution.kernel, is_int8, _fields(convolution))
    singles = {"BLOCK": network.block, "PROJECT": network.project, "OUTPUT": network.output}
    for name, matrix in singles.items():
        if matrix is not None:
            yield from _matrix(name, matrix, is_int8)
    for i, (from_input, from_state) in enumerate(network.layers):
        yield from _matrix(f"INPUT{i}", from_input, is_int8)
        yield from _matrix(f"STATE{i}", from_state, is_int8)
    yield ""


def _constants(
    artifact: Artifact, network: CausalNetwork, values: Mapping[str, Any]
) -> dict[str, object]:
    features = artifact.features
    is_merged = list(artifact.words) != list(artifact.labels)
    keep = 0.0
    if features.relative:
        keep = math.exp(-features.hop_length / (features.sample_rate * features.running_s))
    return {
        "N_FFT": features.n_fft,
        "HOP_LENGTH": features.hop_length,
        "N_MELS": features.n_mels,
        "N_FEATURES": features.n_features,
        "FRAMES_PER_STEP": network.frames_per_step,
        "IS_MFCC": int(features.kind == "mfcc"),
        "IS_RELATIVE": int(features.relative),
        "LEVEL_KEEP": _float(keep),
        "RANGE_DB": _float(features.range_db),
        "POWER_FLOOR": _float(features.power_floor),
        "DECIBELS": _float(10 / math.log(10)),
        "N_HIDDEN": network.hidden_size,
        "N_WORDS": len(artifact.words),
        "IS_MERGED": int(is_merged),
        "POWER": _float(1 / float(values["temperature"])),
    }


def _feature_tables(config: FeatureConfig) -> Iterator[str]:
    """Yield the tables of window, transform and bands."""
    tables, n = feature_tables(config), config.n_fft // 2
    yield from _array("WINDOW", tables.window.astype(np.float32))
    n_bits = n.bit_length() - 1
    order = [int(f"{i:0{n_bits}b}"[::-1], 2) for i in range(n)]
    yield from _array("FFT_ORDER", _indices(order))
    phase = np.pi * np.arange(n) / n
    yield from _array("COSINE", np.cos(phase).astype(np.float32))
    yield from _array("SINE", np.sin(phase).astype(np.float32))
    used = [np.flatnonzero(row) for row in tables.filters]
    first, end = [int(bins[0]) for bins in used], [int(bins[-1]) + 1 for bins in used]
    yield from _array("MEL_FIRST", _indices(first))
    yield from _array("MEL_END", _indices(end))
    rows = [row[a:b] for row, a, b in zip(tables.filters, first, end, strict=True)]
    yield from _array("MEL_WEIGHT", np.concatenate(rows).astype(np.float32))
    if tables.dct is not None:
        yield from _array("DCT", tables.dct)


def _fields(convolution: Convolution) -> dict[str, int]:
    return {name: int(getattr(convolution, name)) for name in _CONVOLUTION_FIELDS}


_CONVOLUTION_FIELDS = (
    *("n_inputs", "n_outputs", "width", "time_stride", "band_stride", "n_bands"),
    *("n_times", "n_bands_out", "n_times_out", "is_residual"),
)


def _matrix(
    name: str, matrix: Matrix, is_int8: bool, more: Mapping[str, int] | None = None
) -> Iterator[str]:
    """Yield a matrix, or with ``more`` a convolution, as constants."""
    n_rows, n_columns = matrix.weights.shape
    parts = [f"{name}_WEIGHTS", f"{name}_BIAS"]
    weights: npt.NDArray[Any] = matrix.weights
    if is_int8:
        weights, scale = round_rows(matrix.weights, 0)
        yield from _array(f"{name}_SCALE", scale)
        parts.append(f"{name}_SCALE")
    yield from _array(parts[0], weights)
    yield from _array(parts[1], matrix.bias)
    fields = f"{{{', '.join([*parts, str(n_rows), str(n_columns)])}}}"
    if more is None:
        yield f"static const matrix {name} = {fields};"
    else:
        numbers = ", ".join(map(str, more.values()))
        yield f"static const convolution {name} = {{{fields}, {numbers}}};"


def _indices(values: Sequence[int]) -> npt.NDArray[Any]:
    """Return integers from 0 on in as few bytes as a board has room for."""
    return np.array(values, np.uint16 if max(values) < 2**16 else np.uint32)


_C_TYPES = {"f": "float", "i1": "int8_t", "u2": "uint16_t", "u4": "uint32_t"}


def _array(name: str, array: npt.NDArray[Any]) -> Iterator[str]:
    """Yield an array as a constant."""
    is_float = array.dtype.kind == "f"
    kind = _C_TYPES["f" if is_float else array.dtype.str[1:]]
    yield f"static const {kind} {name}[{array.size}] = {{"
    values: Sequence[Any] = array.ravel().tolist()
    texts = [_float(value) if is_float else str(value) for value in values]
    for i in range(0, len(texts), _PER_LINE):
        yield f"  {', '.join(texts[i : i + _PER_LINE])},"
    yield "};"


def _float(value: float) -> str:
    """Return a constant of C that is read as the same float32."""
    text = format(value, ".9g")
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
