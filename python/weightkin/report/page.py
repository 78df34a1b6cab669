"""Puts the page together: sections as plain data, the template, the style and the script, all in one file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import ResultsError, WeightkinError
from ..results import Results, load
from ..results.folder import strict_json
from . import experts, family_tree, gains, groups, heatmaps, layer_maps, matrix, nulls, series, tensors
from .claims import claims
from .coverage import statements
from .pairs import most_alike, pairs_of
from .provenance import provenance

MOST_TENSORS, MOST_BLOCKS = 22_000, 80_000
"""On one page: together about 4 MB."""
MOST_GAINS = 400_000
"""Values of norm gains on one page, of all models together: 1.1 MB."""
MOST_MAPS = 16
"""Pairs of models whose layers are drawn role by role, and whose norm gains are."""
SCRIPTS = (
    "columns",
    "controls",
    "table",
    "charts",
    "groups",
    "nulls",
    "tensors",
    "gains",
    "models",
    "series",
    "family",
    "start",
)
"""In order; one after the other they are one script."""


def report(results: Sequence[Results | str | Path], output: str | Path = "report.html") -> Path:
    """Writes one page about all given results, or results folders, and returns where it is.

    The page holds everything it needs and asks no network for anything. Raises `ResultsError` if results cannot be read or
    the page cannot be written, and `WeightkinError` if the extra `report` is not installed.
    """
    if not results:
        raise ResultsError("no results given: name at least one folder")
    lacking = missing()
    if lacking:
        raise WeightkinError(
            f"a report needs {' and '.join(lacking)}, not installed here", "pip install 'weightkin[report]'"
        )
    from jinja2 import Environment
    from plotly.offline import get_plotlyjs

    loaded = [one if isinstance(one, Results) else load(one) for one in results]
    parts = [_part(one, len(loaded)) for one in loaded]
    assets = files(__package__) / "assets"
    script = '"use strict";\n' + "\n".join((assets / f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    plotly = get_plotlyjs()
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (assets / "page.html.j2").read_text("utf-8")
    )
    text = page.render(
        parts=parts,
        title=_title(loaded),
        style=(assets / "page.css").read_text("utf-8"),
        script=script,
        plotly=plotly,
        hashes=" ".join(_hash(one) for one in (plotly, script)),
        data=_json([part["sections"] for part in parts]),
    )
    output = Path(output)
    try:
        output.write_text(text, "utf-8", errors="replace")
    except OSError as error:
        raise ResultsError(f"{output}: cannot be written: {error.strerror or error}") from None
    return output


def missing() -> list[str]:
    """What of the extra `report` is not installed."""
    return [name for name in ("jinja2", "plotly") if find_spec(name) is None]


def _part(results: Results, sharing: int) -> dict[str, Any]:
    """What the page says of one of so many results."""
    null = nulls.section(results)
    pairs = pairs_of(results)
    drawn = most_alike(pairs, max(1, MOST_MAPS // sharing))
    note = f"Of {len(pairs)} pairs, the {len(drawn)} that are most alike; tensors.parquet has all."
    note = note if len(drawn) < len(pairs) else ""
    sections = [
        *family_tree.sections(results),
        *groups.sections(results),
        *([null] if null else []),
        *heatmaps.sections(results, drawn, note),
        *gains.sections(results, drawn, MOST_GAINS // sharing, note),
        *matrix.sections(results),
        *layer_maps.sections(results),
        *experts.sections(results),
        *series.sections(results, MOST_TENSORS // sharing),
        *tensors.sections(results, MOST_TENSORS // sharing, MOST_BLOCKS // sharing),
    ]
    return {
        "command": results.summary["command"], "models": _names(results),
        "statements": statements(results), "claims": claims(results), "provenance": provenance(results), "sections": sections,
    }  # fmt: skip


def _title(loaded: Sequence[Results]) -> str:
    names = dict.fromkeys(name for results in loaded for name in _names(results))
    return f"weightkin: {', '.join(names)}"


def _names(results: Results) -> list[str]:
    """Of the models; of a series, which may be long, its ends."""
    names = [model["name"] for model in results.summary["models"]]
    return [f"{names[0]} to {names[-1]}"] if "series" in results.summary else names


def _json(value: Any) -> str:
    """JSON that no name in it can end, or turn into something else than text inside <script>."""
    text = json.dumps(strict_json(value), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(script: str) -> str:
    """As a Content-Security-Policy names the one script that may run."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
