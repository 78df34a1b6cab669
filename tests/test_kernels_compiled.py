"""Every Triton kernel compiles for Ampere, Hopper and Blackwell, and spills no registers."""

from __future__ import annotations

from pathlib import Path

from triton_cases import compiled

EVERYWHERE = ["gram:2:bfloat16:4096", "difference:2:bfloat16:4097", "census:1:bfloat16:4097", "lagged:2:bfloat16:64",
              "cross_gram:130:bfloat16:4096", "probe:1:bfloat16:1024"]  # fmt: skip
ONCE = ["gram:2:bfloat16:100", "gram:3:float32:4096", "gram:9:bfloat16:4096", "difference:2:float32:4096",
        "cross_gram:3:float16:33", "columns:144:float16:64", "cross_gram:3:float32:33", "probe:1:float32:528"]  # fmt: skip


def test_compiles(tmp_path: Path) -> None:
    """Masked and not, in float32 and float64, alone and several programs to a chunk, in vectors and one by one."""
    calls = [f"{architecture}:{call}" for architecture in (80, 90, 100) for call in EVERYWHERE]
    calls += [f"90:{call}" for call in ONCE]
    found = compiled(calls, tmp_path)
    for call in calls:
        assert found[call] and all(local == 0 for _, local, _ in found[call]), (call, found[call])
    for architecture in (80, 90, 100):
        (kernel, _, additions), *_ = found[f"{architecture}:cross_gram:130:bfloat16:4096"]
        assert kernel == "cross_gram_kernel" and additions, "panels are left to the accumulators of tensor cores"
