"""A recogniser as a module that takes a stream block by block, as ``stream.onnx`` holds it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from speechcls.networks.recogniser import Recogniser

StepOutputs = tuple[Tensor, ...]
"""Probabilities, then the new states."""


class CausalStreamingModule(nn.Module):
    """Probabilities at each step of a causal network, with its states carried from block to block.

    States: the last samples, which the next frame begins with; sums of the running level, if
    energies are relative; those of the network.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        self.recogniser = recogniser
        self.config = recogniser.features.config
        self.n_samples = self.config.hop_length * recogniser.network.frames_per_step
        """Samples per step: a block holds a multiple of them, and gives a row for each."""
        self.n_tail = self.config.n_fft - self.config.hop_length

    def states(self, batch: int = 1) -> dict[str, Tensor]:
        """Return the states at the start of so many streams, by name."""
        states = {"tail": torch.zeros(batch, self.n_tail)}
        if self.config.relative:
            states["level"] = torch.zeros(batch, 2)
        of_network = self.recogniser.network.states(batch)
        return states | {f"network{i}": state for i, state in enumerate(of_network)}

    def forward(self, samples: Tensor, tail: Tensor, *states: Tensor) -> StepOutputs:
        """Return probabilities, and new states, of a block of each of several streams.

        Parameters
        ----------
        samples : (batch, n_samples)
        tail, states : as ``states``, of each stream

        Returns
        -------
        (batch * n_steps, n_labels), stream after stream, and the new states
        """
        features = self.recogniser.features
        extended = torch.cat([tail, samples], dim=1)
        energy = features.energies(extended)
        level, sums = None, []
        if self.config.relative:
            level, new_sums = features.running_level(energy, states[0])
            states, sums = states[1:], [new_sums]
        normalised = self.recogniser.normalise(features.from_energies(energy, level))
        logits, states_after = self.recogniser.network.step(normalised, list(states))
        probabilities = self.recogniser.merge_word_logits(logits).softmax(dim=2)
        probabilities = probabilities.reshape(-1, int(probabilities.shape[2]))
        return probabilities, extended[:, -self.n_tail :], *sums, *states_after


class SlidingWindowModule(nn.Module):
    """Probabilities of any other network on the window that ends with each block.

    Each frame is computed once, except for the few at both ends of a window, which reach beyond it
    and are padded with zeros there, as in a clip. States: the last window of samples; the mel
    energies of its inner frames.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        self.recogniser = recogniser
        self.config = config = recogniser.features.config
        self.n_samples = config.hop_length
        """A block holds a multiple of so many samples."""
        self.margin = config.n_fft // 2
        self.n_first = -(-self.margin // config.hop_length)  # frames that begin before the window
        last_inner = (config.n_samples - self.margin) // config.hop_length
        self.n_inner = last_inner + 1 - self.n_first
        self.n_last = config.n_frames - last_inner - 1
        self.after_inner = (last_inner + 1) * config.hop_length - self.margin

    def states(self, n_blocks: int = 1) -> dict[str, Tensor]:
        """Return the states at the start of the stream, by name, whatever the number of blocks."""
        return {
            "window": torch.zeros(1, self.config.n_samples),
            "energies": torch.zeros(1, self.n_inner, self.config.n_mels),
        }

    def forward(self, samples: Tensor, window: Tensor, energies: Tensor) -> StepOutputs:
        """Return probabilities (n_blocks, n_labels), and new states.

        Parameters
        ----------
        samples : (n_blocks, n_samples) successive blocks
        window : (1, config.n_samples) those before
        energies : (1, n_inner, n_mels) of its inner frames
        """
        config, features = self.config, self.recogniser.features
        extended = torch.cat([window, samples.reshape(1, -1)], dim=1)
        n_end = config.n_samples - self.after_inner - config.n_fft + config.hop_length
        new = features.energies(extended[:, self.after_inner : extended.shape[1] - n_end])
        frames = torch.cat([energies, new], dim=1)
        frames = frames.clamp(min=config.power_floor)  # at the start of the stream
        # (n_blocks, 1) where the window of each block begins, in blocks after the first window
        places = 1 + torch.arange(samples.shape[0])[:, None]
        n_head = (self.n_first - 1) * config.hop_length + config.n_fft - self.margin
        n_tail = (self.n_last - 1) * config.hop_length + config.n_fft
        missing = self.after_inner + n_tail - config.n_samples
        begins = samples.shape[1] * places
        head = extended[0, begins + torch.arange(n_head)]
        inner = frames[0, begins // config.hop_length + torch.arange(self.n_inner)]
        tail = extended[0, begins + torch.arange(self.after_inner, config.n_samples)]
        energy = torch.cat(
            [
                features.energies(functional.pad(head, (self.margin, 0))),
                inner,
                features.energies(functional.pad(tail, (0, missing))),
            ],
            dim=1,
        )  # (n_blocks, n_frames, n_mels)
        normalised = self.recogniser.normalise(features.from_energies(energy))
        probabilities = self.recogniser.logits_of(normalised).softmax(dim=1)
        return probabilities, extended[:, -config.n_samples :], frames[:, -self.n_inner :]
