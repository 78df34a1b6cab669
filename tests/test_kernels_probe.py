"""The probe kernels against float64: dtypes, activations, ragged shapes, layouts, biases."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from triton_cases import TORCH_DTYPES, activation, far_apart, matrix, poisoned, probe, torch
from weightkin.correspondence.activation import CLAMPED, GATES, Activation

pytestmark = pytest.mark.usefixtures(poisoned.__name__)

Experts = list[torch.Tensor]
Biases = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Array = npt.NDArray[np.float64]


def wide(x: torch.Tensor) -> Array:
    return np.asarray(x.double().cpu().numpy())


def check(
    gate: Experts, up: Experts, down: Experts, x: torch.Tensor, name: str = "silu", biases: Biases | None = None
) -> None:
    """Within a millionth of an expert's largest answer."""
    act = Activation(name, alpha=1.5, limit=5.0)
    found = probe.probe(gate, up, down, x, act, biases or (None, None, None))
    assert found.dtype == torch.float32
    for expert, got in enumerate(wide(found)):
        b = [wide(bias[expert]) for bias in biases] if biases else [0.0] * 3
        hidden = act(wide(x) @ wide(gate[expert]).T + b[0], wide(x) @ wide(up[expert]).T + b[1])
        expected = hidden @ wide(down[expert]).T + b[2]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.nanmax(np.abs(expected)))


def experts(dtype: str, count: int, neurons: int, width: int) -> tuple[Experts, Experts, Experts]:
    """Views of stacked matrices."""
    gate, up = (list(matrix(seed, dtype, count, neurons, width)) for seed in (1, 2))
    return gate, up, list(matrix(3, dtype, count, width, neurons))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 17, 40, 5), (2, 65, 33, 2), (1, 32, 64, 67)])
@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_shapes(dtype: str, shape: tuple[int, int, int, int]) -> None:
    count, neurons, width, inputs = shape
    check(*experts(dtype, count, neurons, width), matrix(4, "F32", inputs, width))


@pytest.mark.parametrize("name", activation.KINDS)
def test_activations(name: str) -> None:
    """With biases, and gates large enough that every one bends."""
    biases = matrix(5, "F32", 2, 9), matrix(6, "BF16", 2, 9), matrix(7, "F16", 2, 20)
    check(*experts("BF16", 2, 9, 20), 3 * matrix(4, "F32", 6, 20), name, biases)


def test_every_activation_of_families() -> None:
    assert set(activation.KINDS) == {*GATES, CLAMPED}


def test_layouts() -> None:
    """Rows of gate and up in turns, down transposed, experts in memory of their own, far apart."""
    fused, x = matrix(1, "BF16", 2, 24, 16), matrix(4, "F32", 3, 16)
    down = list(matrix(3, "BF16", 2, 12, 16).transpose(1, 2))
    check(list(fused[:, ::2]), list(fused[:, 1::2]), down, x)
    check([one[::2].clone() for one in fused], list(far_apart(fused[:, 1::2])), down, x.T.contiguous().T)


def test_not_finite() -> None:
    gate, up, down = experts("BF16", 3, 8, 8)
    gate[0][2, 1], up[1][3, 3] = torch.nan, torch.inf
    x = matrix(4, "F32", 4, 8)
    found = wide(probe.probe(gate, up, down, x, Activation("silu")))
    assert np.isnan(found[0]).all() and not np.isfinite(found[1]).any() and np.isfinite(found[2]).all()


def test_refused() -> None:
    gate, up, down = experts("BF16", 2, 8, 4)
    x, silu = matrix(4, "F32", 3, 4), Activation("silu")
    with pytest.raises(ValueError, match="unknown activation 'mish'"):
        probe.probe(gate, up, down, x, Activation("mish"))
    for part, bad in (
        ("up", [up[0], up[1][:7]]),
        ("up", [up[0], up[1].T.contiguous().T]),
        ("up", [up[0], up[1].half()]),
    ):
        with pytest.raises(ValueError, match=f"{part}: .* is not like others"):
            probe.probe(gate, bad, down, x, silu)
    with pytest.raises(ValueError, match=r"down: unsupported dtype torch\.float64"):
        probe.probe(gate, up, [one.double() for one in down], x, silu)
