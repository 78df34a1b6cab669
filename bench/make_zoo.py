"""Trains a zoo: python -m weightkin.bench.make_zoo --out zoo --seed 0

About 10 minutes on 2 cores, 2 with --quick, which barely trains. Nothing is downloaded. Every member is a Hugging Face
folder written by `transformers`, or a documented edit of one; `truth.json` says how they are related.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import transformers

from .zoo.lineage import PAIRS, UNCHANGED
from .zoo.members import MEMBERS, Zoo
from .zoo.states import load
from .zoo.training import logits

LARGEST_GAP = 0.05
"""Between logits that should be equal, relative to the largest: bfloat16 rounds every weight. Of the median token: one
whose experts nearly tie may go to another after rounding, and all its logits with it."""


def make_zoo(
    folder: Path, seed: int, architecture: str = "glm4_moe", quick: bool = False, only: Collection[str] = ()
) -> Path:
    """Trains the members `only` (default: all) and those that they are made from. Raises FileExistsError."""
    messages: Any = transformers.logging
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    folder.mkdir(parents=True)
    zoo = Zoo(folder, architecture, seed, quick)
    wanted = needed(only)
    for make in MEMBERS:
        if make.__name__ in wanted:
            make(zoo)
            print(f"{make.__name__:12s} loss {zoo.truth['loss'].get(make.__name__, '-')}", file=sys.stderr, flush=True)
    for scratch in folder.glob("_*"):
        shutil.rmtree(scratch)
    pairs = [pair for pair in PAIRS if {pair.a, pair.b} <= wanted]
    truth = {
        "arch": architecture,
        "seed": seed,
        "quick": quick,
        **zoo.truth,
        "function_gap": function_gaps(zoo, wanted),
    }
    truth["pairs"] = [{**pair._asdict(), "related": pair.related} for pair in pairs]
    (folder / "truth.json").write_text(json.dumps(truth, indent=2))
    return folder


def needed(only: Collection[str]) -> set[str]:
    """`only`, or all if empty, and what they are made from."""
    wanted = set(only) or {make.__name__ for make in MEMBERS}
    for make, sources in reversed(MEMBERS.items()):  # sources come first
        if make.__name__ in wanted:
            wanted |= set(sources)
    return wanted


def function_gaps(zoo: Zoo, made: Collection[str]) -> dict[str, float]:
    """How far the members that should compute base's function are from it, at the median token."""
    members = [name for name in UNCHANGED if name in made]
    if not members:
        return {}
    expected = logits(load(zoo.path("base")))
    scale = expected.abs().max().item()
    gaps = {}
    for name in members:
        by_token = (logits(load(zoo.path(name))) - expected).abs().amax(dim=-1)
        gaps[name] = round(by_token.median().item() / scale, 4)
    assert max(gaps.values()) < LARGEST_GAP, gaps
    return gaps


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arch", default="glm4_moe", choices=["glm4_moe", "qwen3_moe"])
    parser.add_argument("--quick", action="store_true", help="a fifth of the training steps")
    parser.add_argument("--only", nargs="+", default=[], metavar="MEMBER", help="with those that they are made from")
    arguments = parser.parse_args()
    names = [make.__name__ for make in MEMBERS]
    for name in arguments.only:
        if name not in names:
            parser.error(f"no member is called {name!r}: {', '.join(names)}")
    if arguments.out.exists():
        sys.exit(f"{arguments.out} exists: give a new folder")
    make_zoo(arguments.out, arguments.seed, arguments.arch, arguments.quick, arguments.only)


if __name__ == "__main__":
    main()
