"""probe: what an expert answers to random inputs, which does not depend on the order or the scale of its neurons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from .. import ops
from ..statistics.null import generator
from .mlps import MlpLayer, MlpViews, Weights
from .orbit import Array, Floats, Orbit

ROWS = 64
"""Rows of gate and of up of each MLP from which the scale of input channels is estimated."""


def inputs(orbit: Orbit, seed: int) -> Floats:
    """[m, d]: one Gaussian vector and its m - 1 relabelled copies, the same for every model of that width.

    As B relabelled by u answers the relabelled input x_t with its relabelled answer to x_{t-u}, the answers to a whole
    orbit of inputs hold those of every relabelled copy of B: an exact null that reads no weight again.
    """
    first = generator(seed, "probe", orbit.width).standard_normal(orbit.width).astype(np.float32)
    return np.stack([orbit.move(first, by) for by in range(orbit.size)])


def channel_scale(weights: Weights, layer: MlpLayer) -> Floats:
    """[d]: what input channels are multiplied with, so that none weighs more than others in the layer's gates and ups.

    It undoes any scale of a channel, so norm gains need no folding, and gates see inputs of deviation 1.
    """
    gate, up = np.zeros(layer.width), np.zeros(layer.width)
    for mlp in scaling(layer):
        for part, total in (("gate", gate), ("up", up)):
            rows = weights.array(mlp.views[part].narrow(0, 0, min(ROWS, mlp.neurons)))
            total += np.square(rows, dtype=np.float64).mean(axis=0)
    return scale_of(gate / len(scaling(layer)), up)


def scaling(layer: MlpLayer) -> Sequence[MlpViews]:
    """The MLPs that decide on the scale of input channels: routed experts if there are any."""
    return layer.mlps[: layer.routed] or layer.mlps


def scale_of(gate: Array, up: Array) -> Floats:
    """[d] from mean squares of gates [d], and, up to a factor, of ups [d]."""
    square = np.sqrt(gate * up)
    if not square.any():
        return np.zeros(len(gate), np.float32)
    # The scale of up means nothing (down can undo it), that of gate does: it decides where the activation bends.
    square *= np.divide(gate, square, out=np.zeros_like(square), where=square > 0).sum()
    scale = np.divide(1.0, np.sqrt(square), out=np.zeros_like(square), where=square > 0)
    return scale.astype(np.float32)


def answers(weights: Weights, layer: MlpLayer, mlp: MlpViews, x: Floats, threads: int = 1) -> npt.NDArray[np.float32]:
    """[m, d]: down(act(gate x + its bias), up x + its bias) + its bias of one MLP for inputs x [m, d]."""
    gate, up = (
        ops.cross_gram([weights.operand(mlp.views[part])], [ops.operand(x)], threads).product.T
        + _bias(weights, mlp, part)
        for part in ("gate", "up")
    )
    hidden = layer.activation(gate, up).astype(np.float32)
    down = ops.cross_gram([weights.operand(mlp.views["down"])], [ops.operand(hidden)], threads).product
    return (down.T + _bias(weights, mlp, "down")).astype(np.float32)


def _bias(weights: Weights, mlp: MlpViews, part: str) -> Floats | float:
    view = mlp.views.get(f"{part}.bias")
    return 0.0 if view is None else weights.array(view)


def probe(
    weights: Weights,
    layer: MlpLayer,
    orbit: Orbit,
    seed: int,
    threads: int,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Floats:
    """[E, m, K]: balanced descriptors of a layer's MLPs, on which relabelling u is a shift by u along m."""
    x = inputs(orbit, seed) * channel_scale(weights, layer)
    found = np.empty((len(layer.mlps), orbit.size, orbit.size, orbit.step), np.float32)
    inner = max(1, threads // len(layer.mlps))

    def run(number: int) -> int:
        mlp = layer.mlps[number]
        weights.prefetch(mlp)
        answer = np.nan_to_num(answers(weights, layer, mlp, x, inner), nan=0.0, posinf=0.0, neginf=0.0)
        for by in range(orbit.size):
            found[number, by] = orbit.blocks(orbit.move(answer[by], -by))
        weights.release(mlp)
        return mlp.nbytes

    with ThreadPoolExecutor(threads) as pool:
        for nbytes in pool.map(run, range(len(layer.mlps))):
            on_bytes(nbytes)
    balance(found)
    return found.reshape(len(found), orbit.size, -1)


def balance(answered: Floats) -> None:
    """In place, [E, m, blocks, step]: so that no channel and no expert weighs more than others.

    As in csrc/cpu/lagged.h: experts to norm 1, each output channel centred and to norm 1 over experts and inputs, then
    experts centred and to norm 1. A channel is the same one for every input: entry t holds it t blocks further back.
    """
    size = answered.shape[1]
    _scale(answered, "e")
    for by in range(size):
        answered[:, by] = np.roll(answered[:, by], by, axis=1)
    answered -= answered.mean(axis=(0, 1), keepdims=True, dtype=np.float64).astype(np.float32)
    _scale(answered, "is")
    for by in range(size):
        answered[:, by] = np.roll(answered[:, by], -by, axis=1)
    answered -= answered.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
    _scale(answered, "e")


def _scale(x: Floats, axes: str) -> None:
    """In place, to norm 1 over the axes that `axes` lacks, of "etis"; zeros stay."""
    square = np.einsum(f"etis,etis->{axes}", x, x, dtype=np.float64, casting="same_kind")
    norm = np.sqrt(np.expand_dims(square, [at for at, name in enumerate("etis") if name not in axes]))
    x *= np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0).astype(np.float32)
