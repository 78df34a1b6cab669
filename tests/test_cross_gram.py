"""cross_gram against its definition in float64: every instruction set, dtype, ragged shape, layout, and hard numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from operands import FLOATS, LAYOUTS, Layout, Row, bits, finite_range, normal, place
from weightkin import _core, ops, reference
from weightkin.checkpoint.mapping import NUMPY_DTYPES
from weightkin.ops import Operand

SUM_ERROR = 1e-6
"""Of any sum, relative to the sum of its terms' magnitudes."""

DEPTHS = [1, 2, 7, 31, 32, 33, 95, 96, 97, 239, 240, 241, 479, 480, 481, 4097]
"""Around the vector widths, the grain of packing and the panels."""

Floats = npt.NDArray[np.float64]


@pytest.fixture(params=_core.INSTRUCTION_SETS, autouse=True)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Also those that differ from another in this op alone, which is where BF16 (and F8, read as BF16) meets itself."""
    given = request.node.callspec.params
    wider = {"F16", "F32", "F64"} & {given.get("dtype"), given.get("other")}
    if request.param in ("amx", "avx512_bf16") and wider:
        pytest.skip("the same code as avx512")
    before = _core.instruction_set()
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)


def wide(rows: Row) -> Floats:
    return rows.reshape(len(rows), -1).astype(np.float64)


def check(
    left: Sequence[Operand], right: Sequence[Operand], x: Floats, y: Floats, threads: int = 1
) -> reference.CrossGram:
    """All sums within the contract; `x` and `y` are the rows in float64."""
    found = ops.cross_gram(left, right, threads)
    expected, bound = reference.cross_gram(x, y), reference.cross_gram(np.abs(x), np.abs(y))
    for name, got in found._asdict().items():
        assert got.shape == getattr(expected, name).shape
        assert (np.abs(got - getattr(expected, name)) <= SUM_ERROR * getattr(bound, name)).all(), name
    return found


def check_rows(x: Row, y: Row) -> reference.CrossGram:
    return check([ops.operand(x)], [ops.operand(y)], wide(x), wide(y))


def rows(seed: int, count: int, depth: int, dtype: str) -> Row:
    """[count, depth], of normal distribution."""
    return normal(seed, count * depth, dtype).reshape(count, depth)


def layered(x: Row, dtype: str, layout: Layout) -> list[Operand]:
    """Rows laid out one after the other, each in the given way, as one operand; gathered ones as an operand each."""
    each = [place(row, dtype, layout) for row in x]
    if each[0].rows is not None:
        return [
            one._replace(shape=(1, *one.shape), strides=(1, *one.strides), gather_axis=one.gather_axis + 1)
            for one in each
        ]
    stride = len(each[0].buffer) + 1
    buffer = np.full(stride * len(each), 0xFF, np.uint8)
    for i, one in enumerate(each):
        buffer[i * stride : i * stride + stride - 1] = np.frombuffer(one.buffer, np.uint8)
    return [Operand(buffer, 0, dtype, (len(x), *each[0].shape), (stride, *each[0].strides))]


@pytest.mark.parametrize("dtype", FLOATS)
def test_depths(dtype: str) -> None:
    for depth in DEPTHS:
        check_rows(rows(depth, 3, depth, dtype), rows(depth + 1, 5, depth, dtype))


@pytest.mark.parametrize("dtype", ["BF16", "F32", "F64"])
def test_counts_of_rows(dtype: str) -> None:
    for left in (1, 6, 12, 13, 33):
        for right in (1, 8, 31, 32, 65):
            check_rows(rows(left, left, 99, dtype), rows(right, right, 99, dtype))


def test_blocks_and_panels() -> None:
    """More rows than a block, more panels than are shared out by rows."""
    check_rows(rows(0, 300, 500, "BF16"), rows(1, 270, 500, "BF16"))
    check_rows(rows(0, 5, 140_000, "BF16"), rows(1, 3, 140_000, "BF16"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_layouts(dtype: str, layout: Layout) -> None:
    x, y = rows(0, 4, 1011, dtype), rows(1, 35, 1011, dtype)
    check(layered(x, dtype, layout), layered(y, dtype, layout), wide(x), wide(y))


@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_that_are_columns(dtype: str) -> None:
    """A down projection [d, I] whose neurons are columns, at an odd byte."""
    item = NUMPY_DTYPES[dtype].itemsize
    for depth, count in ((37, 5), (513, 77), (960, 64)):
        stored = rows(2, depth, count + 3, dtype)
        buffer = np.frombuffer(b"x" + stored.tobytes(), np.uint8)
        columns = Operand(buffer, 1, dtype, (count, depth), (item, (count + 3) * item))
        x = wide(stored)[:, :count].T
        check([columns], [ops.operand(rows(3, 2, depth, dtype))], x, wide(rows(3, 2, depth, dtype)))
        check([columns], [columns], x, x)


@pytest.mark.parametrize(
    ("dtype", "count", "depth"),
    [("BF16", 70, 700), ("F32", 70, 700), ("F64", 70, 700), ("BF16", 34, 62_001), ("F64", 5, 31_001)],
)
def test_symmetric(dtype: str, count: int, depth: int) -> None:
    x = rows(0, count, depth, dtype)
    given = [ops.operand(x[:3]), ops.operand(x[3:])]
    found = check(given, given, wide(x), wide(x))
    np.testing.assert_array_equal(found.product, found.product.T)
    np.testing.assert_array_equal(found.sum_left, found.sum_right)
    np.testing.assert_array_equal(found.square_left, found.square_right)


def test_gathered_rows_and_gains() -> None:
    x, y = rows(0, 9, 6 * 50, "BF16"), rows(1, 4, 6 * 50, "BF16")
    order, gain = np.array([7, 0, 7, 3]), np.linspace(-2, 3, 50, dtype=np.float32)
    gathered = ops.operand(x.reshape(9, 6, 50))._replace(shape=(4, 6, 50), rows=order)
    check([gathered], [ops.operand(y)], wide(x)[order], wide(y))
    scaled = gathered._replace(gain=gain, gain_axis=2)
    expected = (wide(x)[order].reshape(4, 6, 50) * gain).reshape(4, -1)
    check([scaled], [ops.operand(y)], expected, wide(y))


@pytest.mark.parametrize("other", FLOATS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_dtypes_that_meet(dtype: str, other: str) -> None:
    x, y, z = rows(0, 3, 500, dtype), rows(1, 2, 500, other), rows(2, 4, 500, other)
    check([ops.operand(x), ops.operand(y)], [ops.operand(z)], np.concatenate([wide(x), wide(y)]), wide(z))


def hard_rows(size: int, dtype: str) -> dict[str, Floats]:
    """Rows of every kind that is hard for float32 sums, within the range of `dtype`."""
    random = np.random.default_rng(size)
    largest, smallest, epsilon = finite_range(dtype)
    normals, position = random.standard_normal(size), np.arange(size)
    huge = min(1e30, largest / 8) * random.uniform(-1, 1, size)
    tiny = max(1e-25, smallest) * normals
    return {
        "normals": normals,
        "constant": np.full(size, 0.7),
        "large mean": 1 + max(1e-4, 2 * epsilon) * normals,
        "huge": huge,  # products overflow float32
        "tiny": tiny,  # products underflow float32
        "subnormal": max(1e-150, smallest) * random.integers(-3, 4, size),
        "huge and tiny": np.where(position < size // 2, huge, tiny),
        "a few tiny": np.where(position % 97 == 5, tiny, normals),
        "one giant": np.where(position == size // 3, min(1e25, largest), normals),
        "all giant": np.full(size, min(1e25, largest)),
        "zeros": np.where(position % 2, -0.0, 0),
    }


@pytest.mark.parametrize("dtype", FLOATS)
def test_hard_numbers(dtype: str) -> None:
    for size in (7, 1500):
        x = np.stack(list(hard_rows(size, dtype).values())).astype(NUMPY_DTYPES[dtype])
        check_rows(x, x[::-1].copy())
        given = [ops.operand(x)]
        check(given, given, wide(x), wide(x))
        rare = x[[list(hard_rows(size, dtype)).index(name) for name in ("normals", "a few tiny", "one giant", "zeros")]]
        check_rows(rare, rare[::-1].copy())


def test_hard_numbers_of_long_rows() -> None:
    x = np.stack(list(hard_rows(80_001, "BF16").values())).astype(NUMPY_DTYPES["BF16"])
    check_rows(x, x[:5])


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_worst_rounding(dtype: str) -> None:
    """A lane that starts at 1 and then adds what rounds most, for as long as any kernel adds in float32."""
    epsilon = 2.0**-12 * 1.0078125 if dtype == "BF16" else 2.0**-12 * (1 + 2.0**-10)
    for period in (16, 24, 32, 96, 240, 480):
        for lanes in (1, 2):
            row = np.where(np.arange(4800) % period < lanes, 1, epsilon).astype(NUMPY_DTYPES[dtype])
            check_rows(row[None], row[None])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", FLOATS)
def test_not_finite(dtype: str, value: float) -> None:
    """One bad element reaches every sum it belongs to, and no other."""
    x, y = rows(0, 3, 600, dtype), rows(1, 4, 600, dtype)
    x[1, 599] = value
    y[2, 5] = value
    y[3, 599] = 0  # an infinity times zero
    found = ops.cross_gram([ops.operand(x)], [ops.operand(y)])
    with np.errstate(invalid="ignore"):
        expected = reference.cross_gram(wide(x), wide(y))
    for name, got in found._asdict().items():
        np.testing.assert_allclose(got, getattr(expected, name), rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize(("left", "right", "depth"), [(50, 40, 3000), (300, 300, 1000), (7, 5, 200_000)])
def test_threads_change_no_bit(left: int, right: int, depth: int) -> None:
    x, y = rows(0, left, depth, "BF16"), rows(1, right, depth, "BF16")
    x[1, 77] = 1e-30
    one, *others = (ops.cross_gram([ops.operand(x)], [ops.operand(y)], threads) for threads in (1, 2, 3, 7))
    for other in others:
        for got, want in zip(other, one, strict=True):
            np.testing.assert_array_equal(bits(got), bits(want))


def test_nothing_to_add() -> None:
    found = ops.cross_gram([ops.operand(np.empty((3, 0), np.float32))], [ops.operand(np.empty((2, 0), np.float32))])
    assert [one.tolist() for one in found] == [[[0, 0]] * 3, [0] * 3, [0] * 2, [0] * 3, [0] * 2]
    nothing = ops.operand(np.empty((0, 5), np.float32))
    assert ops.cross_gram([nothing], [ops.operand(np.ones((2, 5), np.float32))]).product.shape == (0, 2)


def test_what_cannot_be_multiplied() -> None:
    x = ops.operand(np.ones((2, 5), np.float32))
    with pytest.raises(ValueError, match="rows differ in size"):
        ops.cross_gram([x], [ops.operand(np.ones((2, 4), np.float32))])
    with pytest.raises(ValueError, match="integers have no inner products"):
        ops.cross_gram([x], [ops.operand(np.ones((2, 5), np.int32))])
    with pytest.raises(ValueError, match="no rows"):
        ops.cross_gram([x], [x._replace(shape=(), strides=())])
    with pytest.raises(ValueError, match="outside its buffer"):
        ops.cross_gram([x], [x._replace(shape=(3, 5))])
    with pytest.raises(ValueError, match="no threads"):
        ops.cross_gram([x], [x], threads=0)
