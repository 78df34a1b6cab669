"""Whether independent pairs look as the null says: uniform p, |z| as of a normal distribution, no verdict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from weightkin.statistics.verdict import MATRIX_GROUPS

from .evaluate import Array, Judged

LARGEST_Z = 4.5
"""That an independent pair's matrix role may have."""
SMALLEST_P = 0.01
"""That an independent pair's norm role may have, adjusted."""


@dataclass(frozen=True)
class Calibration:
    """Of a set of independent pairs."""

    pairs: int
    tensors: int
    uniform_p: float
    """Kolmogorov and Smirnov's p that the tensors' p are uniform, as if tensors were independent of each other."""
    verdicts: dict[str, int]
    largest_z: dict[str, float]
    """By group and role: the z of largest magnitude over the pairs."""
    z_mean: dict[str, float]
    z_deviation: dict[str, float]
    """By group, over the pairs."""
    smallest_norm_p: float
    """Of any norm role, adjusted."""
    failures: tuple[str, ...]
    """What an independent pair must not show, and does."""

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        return asdict(self)


def calibrate(pairs: Sequence[Judged], seed: int = 0) -> Calibration:
    """`pairs`: independent ones."""
    largest: dict[str, float] = {}
    groups: dict[str, list[float]] = defaultdict(list)
    norm_p, failures = 1.0, []
    for pair in pairs:
        name = f"{pair.zoo}: {pair.a} and {pair.b}"
        if pair.word != "no_evidence":
            failures.append(f"{name}: {pair.word}")
        for group in pair.groups:
            if group["z"] is not None:
                groups[group["group"]].append(group["z"])
        for role in pair.roles:
            place, z = f"{role['group']}/{role['role']}", role["z"]
            if z is None:
                continue
            largest[place] = max(largest.get(place, 0.0), z, key=abs)
            if role["group"] in MATRIX_GROUPS and abs(z) > LARGEST_Z:
                failures.append(f"{name}: {place} at z = {z:.2f}")
            if role["group"] == "norms":
                norm_p = min(norm_p, role["p_adjusted"])
    if norm_p < SMALLEST_P:
        failures.append(f"a norm role at adjusted p = {norm_p:.2g}")
    randomised = np.concatenate([randomise(pair.p, pair.draws, seed + place) for place, pair in enumerate(pairs)])
    verdicts = [pair.word for pair in pairs]
    return Calibration(
        pairs=len(pairs),
        tensors=len(randomised),
        uniform_p=float(stats.kstest(randomised, "uniform").pvalue),
        verdicts={word: verdicts.count(word) for word in sorted(set(verdicts))},
        largest_z=dict(sorted(largest.items())),
        z_mean={group: float(np.mean(z)) for group, z in groups.items()},
        z_deviation={group: float(np.std(z)) for group, z in groups.items()},
        smallest_norm_p=norm_p,
        failures=tuple(failures),
    )


def randomise(p: Array, draws: npt.NDArray[np.int64], seed: int) -> Array:
    """p on the grid 1..R+1 over R+1, spread over the cell below it: continuous and uniform under the null."""
    return p - np.random.default_rng(seed).random(p.shape) / (draws + 1)
