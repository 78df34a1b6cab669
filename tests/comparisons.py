"""Pairs of checkpoints to compare, and what numpy says of them in float64."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pyarrow as pa

from folders import Arrays, arrays, write_checkpoint
from weightkin.checkpoint import open_checkpoint
from weightkin.results import Results

Array = np.ndarray[Any, np.dtype[Any]]
BF16 = np.dtype(ml_dtypes.bfloat16)

HIDDEN, NEURONS = 32, 40


def model(seed: int, layers: int = 2, mean: float = 0.0, dtype: np.dtype[Any] = BF16) -> dict[str, Array]:
    """A llama-like model of a few small tensors: normal random numbers around `mean`."""
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (51, HIDDEN)}
    for layer in range(layers):
        shapes |= {
            f"model.layers.{layer}.input_layernorm.weight": (HIDDEN,),
            f"model.layers.{layer}.self_attn.q_proj.weight": (48, HIDDEN),
            f"model.layers.{layer}.mlp.gate_proj.weight": (NEURONS, HIDDEN),
            f"model.layers.{layer}.mlp.down_proj.weight": (HIDDEN, NEURONS),
        }
    return {name: (random.standard_normal(shape) + mean).astype(dtype) for name, shape in shapes.items()}


def perturbed(tensors: Arrays, seed: int = 1) -> dict[str, Array]:
    """Tensors near the given ones: every fourth is the same, the others have a tenth of their elements changed."""
    random = np.random.default_rng(seed)
    out: dict[str, Array] = {}
    for number, (name, tensor) in enumerate(tensors.items()):
        noise = random.standard_normal(tensor.shape) * (random.random(tensor.shape) < 0.1) * (number % 4 != 3)
        wide = tensor.astype(np.float64)
        out[name] = (wide + noise * (0.1 * np.abs(wide) + 0.02)).astype(tensor.dtype)
    return out


def perturbed_copy(folder: Path, to: Path) -> Path:
    """A checkpoint whose tensors are near those of the one in `folder`."""
    checkpoint = open_checkpoint(folder)
    return write_checkpoint(to, perturbed(arrays(checkpoint)), checkpoint.config)


def pair(folder: Path, layers: int = 2) -> tuple[Path, Path]:
    """Two related checkpoints of the same names and shapes."""
    tensors = model(0, layers)
    return write_checkpoint(folder / "a", tensors), write_checkpoint(folder / "b", perturbed(tensors))


def _p99(tensor: Array) -> float:
    return float(np.quantile(np.abs(tensor.astype(np.float64)), 0.99))


def expected(pairs: Sequence[tuple[Array, Array]]) -> dict[str, float]:
    """Every measure of tensors pooled as those of a role are: each centred by its own mean. NaN where undefined."""
    x, y = (np.concatenate([np.ravel(both[side]).astype(np.float64) for both in pairs]) for side in (0, 1))
    means = [(np.ravel(a).astype(np.float64).mean(), np.ravel(b).astype(np.float64).mean()) for a, b in pairs]
    sizes = [a.size for a, _ in pairs]
    centre_x, centre_y = (np.repeat([both[side] for both in means], sizes) for side in (0, 1))
    bits = np.concatenate([(a != b).ravel() for a, b in ((_codes(a), _codes(b)) for a, b in pairs)])
    norms, gap = math.sqrt(x @ x) * math.sqrt(y @ y), np.abs(x - y)
    variances = (np.sum((x - centre_x) ** 2), np.sum((y - centre_y) ** 2))
    p99_a, p99_b = (float(np.average([_p99(both[side]) for both in pairs], weights=sizes)) for side in (0, 1))
    cv_a, cv_b = (_ratio(values.std(), abs(values.mean())) for values in (x, y))
    return {
        "cosine": _ratio(x @ y, norms),
        "pearson": _ratio((x - centre_x) @ (y - centre_y), math.sqrt(variances[0]) * math.sqrt(variances[1])),
        "cosine_if_uncorrelated": _ratio(centre_x @ centre_y, norms),
        "relative_l2_a": _ratio(math.sqrt(gap @ gap), math.sqrt(x @ x)),
        "relative_l2_b": _ratio(math.sqrt(gap @ gap), math.sqrt(y @ y)),
        "mean_abs_difference": float(gap.mean()),
        "max_abs_difference": float(gap.max()),
        "changed_fraction": float(bits.mean()),
        "p99_a": p99_a,
        "p99_b": p99_b,
        "p99_difference": abs(p99_a - p99_b),
        "cv_a": cv_a,
        "cv_b": cv_b,
        "cv_difference": abs(cv_a - cv_b),
    }


def check_measures(found: Mapping[str, Any], pairs: Sequence[tuple[Array, Array]]) -> None:
    """Asserts that a row of a table or an entry of a summary has the float64 measures of `pairs`."""
    exact_p99 = all(array.dtype.itemsize == 2 for both in pairs for array in both)
    wanted = expected(pairs)
    # A small mean is a difference of large sums, and the coefficient of variation divides by it.
    cv_scale = 1 + float(np.nanmax([1, wanted["cv_a"], wanted["cv_b"]])) ** 2
    for name, value in wanted.items():
        if math.isnan(value):
            assert found[name] is None, name
        elif name.startswith("p99") and not exact_p99:
            assert abs(found[name] - value) <= 2**-7 * max(found["p99_a"], found["p99_b"]), name
        else:
            scale = cv_scale if name.startswith("cv") else 1.0
            assert abs(found[name] - value) <= 1e-6 * scale, (name, found[name], value)


def same_tables(one: Results, other: Results) -> bool:
    """Whether two results have the same tables, bit for bit."""
    return one.table_names == other.table_names and all(one[name].equals(other[name]) for name in one.table_names)


def rows_of(table: pa.Table, *names: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows by the values of the columns `names`, which must tell them apart."""
    rows = table.to_pylist()
    out = {tuple(row[name] for name in names): row for row in rows}
    assert len(out) == len(rows)
    return out


def copy(folder: Path, to: Path) -> Path:
    """The same files elsewhere, with their times."""
    shutil.copytree(folder, to)
    return to


def _codes(array: Array) -> Array:
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator > 0 else float("nan")
