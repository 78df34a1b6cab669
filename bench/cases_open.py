"""What users wait for before any weight is read: the start of the program, and the headers of a large model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from weightkin.checkpoint import open_checkpoint
from weightkin.schema import resolve

from .generate import write_model
from .processes import python, succeeds
from .registry import Case, Settings, Target, Work
from .shapes import DECODERS, tiny

WEIGHTKIN = ("-m", "weightkin")
MODEL = "solar-open-100b"
TENSORS = 18_963


@contextmanager
def start(_settings: Settings) -> Iterator[Work]:
    """A new interpreter that prints the help."""
    command = python(*WEIGHTKIN, "--help")
    yield Work(
        ours=partial(succeeds, command),
        check=lambda: not succeeds(command),
        roofs={"python -c pass": partial(succeeds, python("-c", "pass"))},
    )


@contextmanager
def headers(settings: Settings) -> Iterator[Work]:
    """Opening and resolving, in this process."""
    folder = all_names(settings)

    def wrong() -> int:
        model = resolve(open_checkpoint(folder))
        return abs(len(model.slots) - TENSORS) + sum(slot.group == "other" for slot in model.slots)

    yield Work(
        ours=lambda: resolve(open_checkpoint(folder)),
        check=wrong,
        roofs={"json of the headers": lambda: _json_headers(folder)},
        peers={"safetensors": lambda: _safetensors_headers(folder)},
    )


@contextmanager
def inspect(settings: Settings) -> Iterator[Work]:
    """The command, in a new interpreter."""
    command = python(*WEIGHTKIN, "inspect", str(all_names(settings)))
    yield Work(
        ours=partial(succeeds, command),
        check=lambda: not succeeds(command),
        roofs={"python -c pass": partial(succeeds, python("-c", "pass"))},
    )


def all_names(settings: Settings) -> Path:
    """A folder with every tensor name of Solar-Open-100B, and tiny tensors; written once."""
    folder = settings.data / f"{MODEL}-names"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        write_model(unfinished, tiny(DECODERS[MODEL]))
        unfinished.rename(folder)
    return folder


def _json_headers(folder: Path) -> None:
    for shard in folder.glob("*.safetensors"):
        with shard.open("rb") as file:
            json.loads(file.read(int.from_bytes(file.read(8), "little")))
    json.loads((folder / "model.safetensors.index.json").read_bytes())


def _safetensors_headers(folder: Path) -> None:
    from safetensors import safe_open

    for shard in folder.glob("*.safetensors"):
        with safe_open(shard, framework="numpy") as file:
            names = file.keys()
            for name in names:
                tensor = file.get_slice(name)
                tensor.get_shape(), tensor.get_dtype()


CASES = (
    Case("start/help", "weightkin --help", start, 0, (Target(None, 0.3),)),
    Case("open/19000-tensors", "open and resolve Solar-Open-100B's names", headers, 0, (Target(None, 1.5),)),
    Case("inspect/19000-tensors", "weightkin inspect of the same", inspect, 0, (Target(None, 1.5),)),
)
