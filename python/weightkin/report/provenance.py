"""What was run, by which program, on which files: enough to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ..cli.text import count, duration, size
from ..results import Results


def provenance(results: Results) -> dict[str, Any]:
    """Command, models, program, machine."""
    summary = results.summary
    throughput = summary["throughput"]
    read = f"{size(throughput['bytes'])} in {duration(throughput['seconds'])} ({throughput['gb_per_s']:.2f} GB/s)"
    facts = {
        "command": summary["command"],
        "seed": str(summary["seed"]),
        "versions": ", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
        "computed on": "; ".join(_device(device) for device in summary.get("devices", [])) or "-",
        "read": read,
        "schema of the results": str(summary["schema_version"]),
        "tables": ", ".join(results.table_names),
    }
    if results.folder is not None:
        facts["stored in"] = str(results.folder)
    models = [
        {
            "letter": str(number + 1) if summary["command"] == "series" else chr(ord("A") + number),
            "name": model["name"], "path": model["path"], "family": model["family"],
            "parameters": count(model["parameters"]), "tensors": f"{model['tensors']:,}", "bytes": size(model["bytes"]),
            "types": ", ".join(model["dtypes"]), "fingerprint": model["fingerprint"], "problems": model["problems"],
        }
        for number, model in enumerate(summary["models"])
    ]  # fmt: skip
    return {"facts": facts, "models": models, "command": command(summary)}


def command(summary: Mapping[str, Any]) -> str:
    """The command line that runs the same again, into a new folder."""
    words = ["weightkin", summary["command"], *(model["path"] for model in summary["models"])]
    for name, value in summary["options"].items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif isinstance(value, list):
            words += [word for one in value for word in (flag, str(one))]
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return shlex.join([*words, "-o", "results"])


def _device(device: Mapping[str, Any]) -> str:
    shown = {**device, "bytes": size(device["bytes"])} if "bytes" in device else device
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
