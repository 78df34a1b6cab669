"""`experts` at the shapes of the case that started it: a layer of GLM-4.5-Air against one of Solar-Open-100B.

The cost of a model is that of a layer times its layers; `--size 9` has all 128 experts of both.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import weightkin
from weightkin.checkpoint import open_checkpoint
from weightkin.checkpoint.mapping import Shards
from weightkin.correspondence.orbit import Orbit

from .folders import SHARD_BYTES, write_shards
from .generate import CHUNK, FINE_TUNING, quantiles, write_model
from .processes import peak_anonymous, python
from .registry import Case, Settings, Target, Work
from .shapes import DECODERS, FEWEST_EXPERTS, Decoder, Tensor, first_layers

EXPERTS = (
    "import sys, weightkin; "
    "weightkin.experts(*sys.argv[1:3], layers='same', threads=int(sys.argv[3]), device=sys.argv[4])"
)
Array = npt.NDArray[Any]


def layer(name: str, nbytes: int, hidden: int) -> Decoder:
    """One layer with as many experts as fit into about `nbytes`; narrower by the same factor where `hidden` is less."""
    whole = replace(first_layers(DECODERS[name], 1), dense_layers=0)
    whole = replace(whole, expert_width=whole.expert_width * hidden // whole.hidden, hidden=hidden)
    expert = 3 * 2 * whole.hidden * whole.expert_width
    return replace(whole, experts=int(np.clip(nbytes // expert - 2, FEWEST_EXPERTS, whole.experts)))


def folders(settings: Settings, related: bool) -> tuple[Path, Path]:
    """A GLM layer, and a Solar layer: an independent one, or cut from the first, re-ordered, with noise."""
    hidden = settings.decoder.hidden
    a, b = (layer(name, settings.nbytes // 2, hidden) for name in ("glm-4.5-air", "solar-open-100b"))
    experts = min(a.experts, b.experts)
    a, b = replace(a, experts=experts), replace(b, experts=experts)
    size = f"{experts}x{hidden}"
    first = _made(settings, f"glm-layer-{size}", lambda path: write_model(path, a, settings.seed))
    if not related:
        return first, _made(settings, f"solar-layer-{size}", lambda path: write_model(path, b, settings.seed + 1))
    return first, _made(settings, f"solar-layer-{size}-cut", lambda path: _cut(path, b, first, order(experts)))


def order(experts: int) -> list[int]:
    """The expert of A that each of B is cut from."""
    return [int(one) for one in np.random.default_rng(0).permutation(experts)]


def _made(settings: Settings, name: str, write: Any) -> Path:
    path = settings.data / name
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        write(unfinished)
        unfinished.rename(path)
    return path


def _cut(folder: Path, decoder: Decoder, source: Path, experts: list[int]) -> Path:
    """The tensors of `decoder` from those of `source`: experts re-ordered, neurons reversed and cut, noise added."""
    original = open_checkpoint(source)
    shards = Shards(original)
    codes = np.random.Generator(np.random.SFC64(7))

    def fill(tensor: Tensor) -> Iterator[Array]:
        name = tensor.name
        if ".experts." in name:
            stem, rest = name.split(".experts.")
            expert, part = rest.split(".", 1)
            name = f"{stem}.experts.{experts[int(expert)]}.{part}"
        whole = shards.array(original.tensors[name].view())
        if "experts" in name:
            whole = whole[:, ::-1][:, : tensor.shape[1]] if "down_proj" in name else whole[::-1][: tensor.shape[0]]
        elif "mlp.gate." in name:  # the router
            whole = whole[experts]
        flat = np.ascontiguousarray(whole[tuple(slice(extent) for extent in tensor.shape)]).reshape(-1)
        for begin in range(0, len(flat), CHUNK):
            part_of = flat[begin : begin + CHUNK]
            noise = quantiles()[codes.integers(0, 1 << 16, len(part_of))]
            yield (part_of.astype(np.float32) + np.float32(FINE_TUNING) * noise).astype(part_of.dtype)

    held = [one for one in decoder.tensors() if one.name in original.tensors and _held(one, original)]
    write_shards(folder, held, fill, SHARD_BYTES, 1)
    (folder / "config.json").write_text(json.dumps(decoder.config()))
    return folder


def _held(tensor: Tensor, original: Any) -> bool:
    return all(extent <= held for extent, held in zip(tensor.shape, original.tensors[tensor.name].shape, strict=True))


@contextmanager
def _case(settings: Settings, related: bool) -> Iterator[Work]:
    paths = folders(settings, related)
    run = partial(weightkin.experts, *paths, layers="same", threads=settings.threads, device=settings.device)
    shapes = [open_checkpoint(path) for path in paths]
    mlps = [[one for name, one in shape.tensors.items() if "experts" in name] for shape in shapes]
    hidden = settings.decoder.hidden
    size = Orbit.of(hidden).size
    products = 2 * size * sum(one.parameters for model in mlps for one in model)
    widths = [next(one.shape[0] for one in model if "gate_proj" in one.name) for model in mlps]
    if related:
        pairs = len(mlps[0]) // 3
        products += 2 * pairs * 2 * widths[0] * widths[1] * hidden
    yield Work(
        ours=run,
        check=lambda: _wrong(run(), related, width=widths[0]),
        nbytes=sum(one.nbytes for model in mlps for one in model),
        flops=products,
    )


def _wrong(results: weightkin.Results, related: bool, width: int) -> float:
    """Experts and neurons that are not what they were cut from; of strangers, those that match anything."""
    assignment = results.summary["experts"]["layers"][0]["assignment"]
    wanted = order(len(assignment)) if related else [-1] * len(assignment)
    wrong = sum(one != other for one, other in zip(assignment, wanted, strict=True))
    for row in results["neurons"].to_pylist():
        if row["kind_b"] == "expert":
            count = len(row["permutation"])
            wrong += sum(one != width - 1 - at for at, one in zip(range(count), row["permutation"], strict=True))
    return float(wrong)


@contextmanager
def memory(settings: Settings) -> Iterator[Work]:
    """What the search with neurons holds besides pages of the files."""
    paths = folders(settings, related=True)

    def peak() -> int:
        return peak_anonymous(python("-c", EXPERTS, *map(str, paths), str(settings.threads), settings.device))

    yield Work(ours=peak, check=lambda: 0.0)


CASES = (
    Case(
        "experts/strangers", "a layer against an independent one", partial(_case, related=False), 0, (),
        rounds=2,
    ),
    Case(
        "experts/neurons", "a layer against one cut from it, with neurons", partial(_case, related=True),
        0, (), rounds=2,
    ),
    Case("experts/memory", "anonymous memory at most", memory, 0, (Target(None, 1e9),), unit="B", rounds=1),
)  # fmt: skip
"""Two cores and a warm page cache take 46 times the seconds of one layer for GLM-4.5-Air against Solar-Open-100B."""
