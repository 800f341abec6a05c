"""The discrete Fourier transform as two small matrix products, for engines without a fast one."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class PowerSpectrum(nn.Module):
    """Power spectra of overlapping frames by operators that every ONNX engine runs well.

    A transform of ``n_rows * n_columns`` samples is one of ``n_rows`` samples for each column,
    twiddle factors, and one of ``n_columns`` samples for each row. The columns of all frames are
    strided convolutions of the same samples, with the window in their kernels; the twiddle factors
    are part of the second matrix. Of 512 samples this takes an eighth of the products of one
    matrix.

    Source
    ------
    Cooley & Tukey 1965, the general factorisation.
    """

    column_kernels: Tensor
    row_matrices: Tensor

    def __init__(self, window: Tensor, hop_length: int) -> None:
        super().__init__()
        n_fft = len(window)
        # A column must move by whole steps from frame to frame. Products per sample of the frame:
        # n_rows by the first matrix, twice n_columns by the second.
        common = math.gcd(n_fft, hop_length)
        divisors = [n for n in range(1, common + 1) if common % n == 0]
        self.n_columns = min(divisors, key=lambda n: n_fft // n + 2 * n)
        self.stride = hop_length // self.n_columns
        n_rows = n_fft // self.n_columns
        self.n_half = 1 + n_rows // 2  # bins of a column: it is real, the others are mirrored

        columns, half = torch.arange(self.n_columns), torch.arange(self.n_half)
        phase = _angles(torch.outer(half, torch.arange(n_rows)), n_rows)
        kernels = torch.stack([phase.cos(), -phase.sin()], 1)  # (n_half, 2, n_rows)
        windows = window.double().reshape(n_rows, self.n_columns).T[:, None, None]
        kernels = (windows * kernels).reshape(-1, 1, n_rows).float()
        self.register_buffer("column_kernels", kernels, persistent=False)

        bins = half[:, None] + n_rows * columns  # (n_half, n_columns)
        phase = _angles(bins[:, :, None] * columns, n_fft)
        real = torch.cat([phase.cos(), phase.sin()], 2)
        imaginary = torch.cat([-phase.sin(), phase.cos()], 2)
        matrices = torch.cat([real, imaginary], 1).float()  # (n_half, 2 n_columns, 2 n_columns)
        self.register_buffer("row_matrices", matrices, persistent=False)
        self.bins: list[int] = torch.minimum(bins, n_fft - bins).flatten().tolist()
        """Bin of each output: every one from 0 to n_fft / 2, some of them twice."""

    def forward(self, samples: Tensor) -> Tensor:
        """Power (batch, n_frames, len(bins)) of ``samples`` (batch, n_samples), any length."""
        n_clips = samples.shape[0]  # not len(): the exporter would write it down as a constant
        n_samples = samples.shape[1] // self.n_columns * self.n_columns
        columns = samples[:, :n_samples].reshape(n_clips, -1, self.n_columns).transpose(1, 2)
        # (batch, n_columns * n_half * 2, n_frames)
        spectra = functional.conv1d(
            columns, self.column_kernels, stride=self.stride, groups=self.n_columns
        )
        spectra = spectra.reshape(n_clips, self.n_columns, self.n_half, 2, -1)
        spectra = spectra.permute(0, 2, 3, 1, 4)  # real parts of all columns, then imaginary ones
        spectra = spectra.reshape(n_clips, self.n_half, 2 * self.n_columns, -1)
        parts = (self.row_matrices @ spectra).square()
        power = parts[:, :, : self.n_columns] + parts[:, :, self.n_columns :]
        return power.reshape(n_clips, len(self.bins), -1).transpose(1, 2)


def _angles(steps: Tensor, n_steps: int) -> Tensor:
    """Return the angle of ``steps``, of which ``n_steps`` make a turn, in radians, float64."""
    return 2 * math.pi / n_steps * (steps % n_steps).double()
