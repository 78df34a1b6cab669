"""Compiles what launchers launch for GPUs that need not be there: triton_compilation.py ARCHITECTURE:OP:ROWS:DTYPE:SIZE...

Prints a JSON object: for each call, the kernels and the bytes of local memory of each, where spilled registers go.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction
from weightkin.kernels import difference, gram

LAUNCHERS = {
    "gram": gram.gram,
    "difference": lambda rows: difference.difference(*rows),
    "census": lambda rows: difference.census(*rows),
}


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
        found[call] = [(name, local_bytes(kernel.asm["cubin"])) for name, kernel in compiled]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
