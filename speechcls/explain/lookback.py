"""How far a network looks back: gradients of its answer, and of its memory by earlier ones.

What a network remembers is its last state: h, of an LSTM the cell c, of which h is what it shows.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from speechcls.audio.samples import FloatArray as Array
from speechcls.explain.recurrence import EQUATIONS
from speechcls.explain.trace import Explanation, with_prefix
from speechcls.explain.unroll import DirectionTrace, unpack_layer
from speechcls.networks.recogniser import Recogniser

_STEP = 1e-30
"""An imaginary change so small that its square is nothing, and of which no digit is lost."""


def answer_gradient(recogniser: Recogniser, features: Array) -> Array:
    """Return how much each frame moves the answer: the norm of the gradient of its logit.

    Of the logit, not of the probability, whose gradient vanishes where the network is certain; of
    a label of several words the logarithm of their summed exponentials.

    Parameters
    ----------
    features : (n_frames, n_features), standardised

    Returns
    -------
    (n_frames,) per standard deviation of the features

    Source
    ------
    Simonyan, Vedaldi & Zisserman 2014, "Deep inside convolutional networks: visualising image
    classification models and saliency maps".
    """
    inputs = torch.from_numpy(features)[None].requires_grad_()
    answer_logit(recogniser, inputs).backward()  # type: ignore[no-untyped-call]
    assert inputs.grad is not None
    norms: Array = inputs.grad[0].norm(dim=1).numpy()
    return norms


def answer_logit(recogniser: Recogniser, features: Tensor) -> Tensor:
    """Return the logit () of the label that is most probable for ``features`` (1, n, n_features).

    Of a streaming network it is that of the step at which a word is most probable.
    """
    logits = recogniser.network(features)[0]  # (n_outputs,), or (n_steps, n_outputs)
    by_label = logits.softmax(dim=-1) @ recogniser.label_of_word
    if recogniser.network.is_streaming:
        best = by_label[:, :-1].amax(dim=1).argmax()
        logits, by_label = logits[best], by_label[best]
    is_word = recogniser.label_of_word[:, by_label.argmax()] > 0
    logit: Tensor = logits[is_word].logsumexp(dim=0)
    return logit


def memory_gains(explanation: Explanation, layer: int, way: str) -> Array:
    """Return what is left at each step of a small change of the memory at an earlier one.

    Parameters
    ----------
    layer : from 1, the lowest
    way : forward or reverse

    Returns
    -------
    (n_steps, n_steps): in row t and column s the root mean square of the change of the memory at t
    by random changes of size 1 at s, which is |d memory_t / d memory_s| over the root of its size
    in Frobenius' norm: 1 where t is s, 0 where s is not read before t
    """
    state = explanation.recogniser.network.state_dict()
    weights = {name: tensor.double().numpy() for name, tensor in state.items()}
    inputs = layer_inputs(explanation, layer)
    trace = explanation.layer(layer)[way]
    recurrence = with_prefix(weights, "recurrence.")
    jacobians = step_jacobians(explanation.cell, recurrence, layer - 1, way, inputs, trace)
    n_steps, n_memory = len(inputs), _states(explanation.cell, trace)[-1].shape[1]
    start = np.zeros((1, n_memory, jacobians.shape[1]))
    start[0, :, -n_memory:] = np.eye(n_memory)
    gains = np.zeros((n_steps, n_steps))
    order = range(n_steps) if way == "forward" else range(n_steps - 1, -1, -1)
    left = start[:0]  # (n_earlier, n_memory, n_states): of a change at each step so far
    for i, step in enumerate(order):
        left = np.concatenate([left @ jacobians[step], start])
        squares = np.square(left[:, :, -n_memory:]).sum(axis=(1, 2))
        gains[step, order[: i + 1]] = np.sqrt(squares / n_memory)
    return gains


def step_jacobians(
    cell: str,
    weights: Mapping[str, Array],
    layer: int,
    way: str,
    inputs: Array,
    trace: DirectionTrace,
) -> Array:
    """Return the derivative of all states after each step by those before it.

    Parameters
    ----------
    weights : of the recurrence, see ``unroll.run_recurrence``
    layer : from 0, the lowest
    inputs : (n_steps, n_inputs) of the layer

    Returns
    -------
    (n_steps, n_states, n_states), row the state before, column the one after; h comes first, then c

    Source
    ------
    Squire & Trapp 1998, "Using complex variables to estimate derivatives of real functions": the
    equations themselves are run with an imaginary change, so that those of any cell will do.
    """
    gate_weights, arguments = unpack_layer(cell, weights, layer, way, np.float64)
    after = _states(cell, trace)
    sizes = [state.shape[1] for state in after]
    before = [_shifted(state, way) for state in after]
    changes = np.split(1j * _STEP * np.eye(sum(sizes)), np.cumsum(sizes)[:-1], axis=1)
    jacobians = []
    for step, x in enumerate(inputs):
        changed = tuple(state[step] + change for state, change in zip(before, changes, strict=True))
        states, _ = EQUATIONS[cell].step(x[None], changed, gate_weights, **arguments)
        jacobians.append(np.concatenate(states, axis=1).imag / _STEP)
    return np.stack(jacobians)


def layer_inputs(explanation: Explanation, layer: int) -> Array:
    """Return what a layer (1 is the lowest) reads, (n_steps, n_inputs)."""
    if layer > 1:
        below = explanation.layer(layer - 1).values()
        return np.concatenate([trace.hidden[0] for trace in below], axis=1)
    network = explanation.recogniser.network
    features = torch.from_numpy(explanation.features)[None]
    with torch.no_grad():
        inputs: Array = network.recurrence_inputs(features)[0].double().numpy()  # type: ignore[operator]
    return inputs


def gain_by_lag(gains: Array, way: str) -> Array:
    """Return the mean gain (n_steps,) over so many steps, from 0 on."""
    sign = -1 if way == "forward" else 1
    means: Array = np.array([np.diagonal(gains, sign * lag).mean() for lag in range(len(gains))])
    return means


def _states(cell: str, trace: DirectionTrace) -> list[Array]:
    """Return h and, if the cell has it, c after each step: (n_steps, n_units) each."""
    cells = [trace.gates["cell"][0]] if EQUATIONS[cell].n_states == 2 else []
    return [trace.hidden[0], *cells]


def _shifted(state: Array, way: str) -> Array:
    """Return the state before each step of those after it; zeros at the start."""
    zeros = np.zeros_like(state[:1])
    parts = [zeros, state[:-1]] if way == "forward" else [state[1:], zeros]
    return np.concatenate(parts)
