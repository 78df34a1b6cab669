"""Compiles what launchers launch for GPUs that need not be there: triton_compilation.py ARCHITECTURE:OP:ROWS:DTYPE:SIZE...

Prints a JSON object: for each call, of each kernel its name, the bytes of local memory, where spilled registers go, and how
often it adds tiles of float32, which it could have left to the accumulators of tensor cores.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction
from weightkin.kernels import cross_gram, difference, gram, lagged, probe
from weightkin.kernels.activation import Activation


def launch_probe(rows: list[torch.Tensor]) -> None:
    gate = [row.view(16, -1) for row in rows]
    probe.probe(gate, gate, [one.T.contiguous() for one in gate], gate[0][:3].float(), Activation("silu"))


LAUNCHERS = {
    "gram": gram.gram,
    "difference": lambda rows: difference.difference(*rows),
    "census": lambda rows: difference.census_blocks(*rows, 4096),
    "lagged": lambda rows: lagged.lagged_pairs([row.view(2, -1) for row in rows], np.arange(20)),
    "cross_gram": lambda rows: cross_gram.cross_gram(torch.stack(rows), torch.stack(rows)),
    "columns": lambda rows: cross_gram.cross_gram(torch.stack(rows, 1).T, torch.stack(rows, 1).T),
    "probe": launch_probe,
}

TILE_ADDITION = r"arith\.addf .*: tensor<\d+x\d+xf32"


class Compiler:
    """In place of Triton's driver: a device that is only compiled for, of the number of its architecture."""

    def __init__(self, architecture: int) -> None:
        self.architecture = architecture

    def get_current_device(self) -> int:
        return self.architecture

    def get_current_stream(self, device: int) -> int:
        return device

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.architecture, 32)


def local_bytes(cubin: bytes) -> int:
    """Stack and local memory of a compiled kernel, per thread."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        tool = triton.knobs.nvidia.cuobjdump.path
        usage = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    return sum(int(number) for number in re.findall(r"(?:STACK|LOCAL):(\d+)", usage))


def main(*calls: str) -> None:
    torch.Tensor.new_empty = torch.Tensor.new_zeros  # nothing runs: all that is found is 0, so gram also tries float64
    compiled: list[tuple[str, Any]] = []
    launch = JITFunction.run

    def compile_only(kernel: Any, *arguments: Any, **options: Any) -> None:
        compiled.append((kernel.__name__, launch(kernel, *arguments, **options | {"warmup": True})))

    JITFunction.run = compile_only
    found = {}
    for call in calls:
        compiled.clear()
        architecture, op, rows, dtype, size = call.split(":")
        driver.set_active(Compiler(int(architecture)))
        LAUNCHERS[op]([torch.zeros(int(size), dtype=getattr(torch, dtype)) for _ in range(int(rows))])
        found[call] = [
            (name, local_bytes(kernel.asm["cubin"]), len(re.findall(TILE_ADDITION, kernel.asm["ttgir"])))
            for name, kernel in compiled
        ]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
