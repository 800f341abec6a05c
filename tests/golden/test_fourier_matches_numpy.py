"""The transform that is exported against numpy's, for every way to split it."""

import numpy as np
import pytest
import torch

from speechcls.features.onnx_fft import PowerSpectrum


@pytest.mark.parametrize(
    ("n_fft", "hop_length", "n_columns"),
    [(512, 160, 16), (480, 160, 16), (256, 80, 8), (300, 100, 10), (512, 161, 1), (15, 5, 5)],
)
def test_power_is_that_of_numpy(n_fft: int, hop_length: int, n_columns: int) -> None:
    generator = np.random.default_rng(0)
    window = np.hanning(n_fft)
    samples = generator.standard_normal((2, 5 * n_fft + 3)).astype(np.float32)
    module = PowerSpectrum(torch.from_numpy(window), hop_length)
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_fft, axis=1)[:, ::hop_length]
    expected = np.abs(np.fft.rfft(frames.astype(np.float64) * window)) ** 2
    assert module.n_columns == n_columns
    assert set(module.bins) == set(range(n_fft // 2 + 1))
    power = module(torch.from_numpy(samples)).numpy()
    np.testing.assert_allclose(
        power, expected[:, :, module.bins], rtol=1e-4, atol=1e-5 * expected.max()
    )


def test_a_tone_is_in_its_bin() -> None:
    samples = torch.cos(2 * torch.pi * 5 / 64 * torch.arange(64))[None]
    module = PowerSpectrum(torch.ones(64), 16)
    power = module(samples)[0, 0]
    at_tone = torch.tensor([k == 5 for k in module.bins])
    torch.testing.assert_close(power[at_tone], torch.full((int(at_tone.sum()),), 32.0**2))
    assert power[~at_tone].max() < 1e-6
