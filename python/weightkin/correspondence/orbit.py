"""The relabellings that a search is repeated under: a cyclic group that shifts blocks of residual channels.

Relabelling u moves every channel of model B on by u blocks; block i becomes block i + u. A descriptor of an expert is an
array [m, K] on which that relabelling is a shift by u along the first axis. So the scores of all experts of A with all of
B under every relabelling are circular correlations, and one Fourier transform gives them together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

RELABELLINGS = 64
"""Size of the group: the most that rank p-values can resolve is 1/64 per layer."""
SLAB = 1 << 22
"""Elements of a descriptor that are transformed at a time."""


@dataclass(frozen=True, slots=True)
class Orbit:
    """A cyclic group on `width` channels: `size` blocks of `step` channels; the few that remain stay where they are."""

    width: int
    size: int
    step: int

    @classmethod
    def of(cls, width: int) -> Orbit:
        """The largest group of at most `RELABELLINGS` that leaves the fewest channels over, half as large at least."""
        most = min(RELABELLINGS, width)
        size = min(range(max(1, most // 2), most + 1), key=lambda size: (width % size, -size))
        return cls(width, size, width // size)

    def move(self, x: Floats, by: int) -> Floats:
        """Relabelling `by` of the last axis."""
        moved = self.size * self.step
        return np.concatenate([np.roll(x[..., :moved], by * self.step, axis=-1), x[..., moved:]], axis=-1)

    def blocks(self, x: Floats) -> Floats:
        """[..., width] -> [..., size, step]: without the channels that stay, which are the same in every draw."""
        return x[..., : self.size * self.step].reshape(*x.shape[:-1], self.size, self.step)


def lag_scores(a: Floats, b: Floats) -> Array:
    """[m, A, B]: for each relabelling u of B, the inner products of descriptors [A, m, K] and [B, m, K].

    Entry [u] is sum over t of <a[t], b[t - u]>.
    """
    size = a.shape[1]
    total = np.zeros((size // 2 + 1, a.shape[0], b.shape[0]), np.complex128)
    width = max(1, SLAB // (size * max(len(a), len(b))))
    for first in range(0, a.shape[2], width):
        left, right = (np.fft.rfft(x[:, :, first : first + width], axis=1).transpose(1, 0, 2) for x in (a, b))
        total += left.astype(np.complex64) @ right.astype(np.complex64).conj().transpose(0, 2, 1)
    return np.asarray(np.fft.irfft(total, n=size, axis=0))
