"""All pairs of three or more models: a grid per group of roles, and which of two others each model is closer to."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cli.text import labels
from ..results import Results
from .columns import floats, numbers, sortable, strings, table_of, texts
from .pairs import pairs_of, place

MEASURES = ("pearson", "cosine", "cosine_if_uncorrelated", "identical_fraction", "compared")


def sections(results: Results) -> list[dict[str, Any]]:
    """[] for results of fewer than three models, or of models that share nothing."""
    summary = results.summary
    if len(summary["models"]) < 3 or not summary.get("matrices"):
        return []
    names, size = labels(summary["models"]), len(summary["models"])
    variants = []
    for entry in summary["matrices"]:
        cells = {name: np.full((size, size), np.nan) for name in MEASURES}
        for name in ("pearson", "cosine", "identical_fraction"):
            cells[name] = np.array([[np.nan if value is None else value for value in row] for row in entry[name]])
        for pair in pairs_of(results):
            for group in pair.entry["groups"]:
                if (group["component"], group["group"]) == (entry["component"], entry["group"]):
                    value = group["cosine_if_uncorrelated"]
                    cells["cosine_if_uncorrelated"][[pair.a, pair.b], [pair.b, pair.a]] = (
                        np.nan if value is None else value
                    )
            cells["compared"][[pair.a, pair.b], [pair.b, pair.a]] = pair.entry["coverage"]["fraction"]
        measures = {name: numbers(values.ravel()) for name, values in cells.items()}
        variants.append({"label": place(entry, "group"), "measures": measures})
    sizes = [
        max((value or 0 for row in entry["parameters"] for value in row), default=0) for entry in summary["matrices"]
    ]
    first = int(np.argmax(sizes))
    words = [{"a": pair.a, "b": pair.b, "word": pair.entry["verdict"]["relation"]} for pair in pairs_of(results)]
    found: list[dict[str, Any]] = [
        {
            "kind": "matrix",
            "title": "All pairs",
            "names": names,
            "variants": variants,
            "first": first,
            "verdicts": words,
        }
    ]
    if "triples" in results.table_names:
        found.append(_triples(results, names))
    return found


def _triples(results: Results, names: list[str]) -> dict[str, Any]:
    table = table_of(
        results, "triples", ("a", "b", "c", "component", "group", "aligned_b", "aligned_c", "difference", "z", "p")
    )
    titles = {"a": "model", "b": "is closer to", "c": "than to"}
    columns = [
        (key, title, "text", texts([names[at] for at in table[key].to_pylist()])) for key, title in titles.items()
    ]
    columns += [(key, key, "text", texts(strings(table, key))) for key in ("component", "group")]
    measures = {
        "aligned_b": "aligned cosine",
        "aligned_c": "of the other",
        "difference": "difference",
        "z": "z",
        "p": "p",
    }
    columns += [
        (key, title, "probability" if key == "p" else "number", numbers(floats(table, key)))
        for key, title in measures.items()
    ]
    return sortable("Which of two models each is closer to", columns, "triples.csv")
