"""align: a copy of one checkpoint in the order of another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .checkpoint.writing import appearing, copy_other_files, copy_shards, new_folder
from .comparison import open_models, thread_count
from .correspondence.alignment import read_alignment
from .correspondence.reordering import Note, reorder
from .correspondence.search import Found, find_alignment
from .correspondence.workers import Workers
from .devices import opened_devices
from .devices.choosing import AUTO
from .errors import ResultsError
from .results.verdict import layers_text
from .statistics.null import DRAWS

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Aligned:
    """What `align` wrote."""

    folder: Path
    moved: dict[str, int]
    """How much came to another place: layers, experts, MLPs with neurons, layers with heads."""
    notes: list[str]
    """What did not, and why; one line each."""
    left_out: list[str]
    """Files that were not copied, and why."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "folder": str(self.folder)}


def align(
    a: str | Path,
    b: str | Path,
    output: str | Path,
    *,
    alignment: str | Path | None = None,
    seed: int = 0,
    device: str = AUTO,
    threads: int | None = None,
    progress: Progress = lambda *_: None,
) -> Aligned:
    """Writes a copy of `b` to the new folder `output`, its parts in the order of their counterparts in `a`.

    Expert i of the copy is the expert of B that matches expert i of A, with its router row; neurons, attention heads and
    layers likewise. What matches nothing takes the places that are left, in its order. `alignment`: a JSON file that says
    what matches what; without it both models are searched, and only clear matches count. Names, dtypes, shards and every
    other file are those of B. Either the whole folder appears or nothing, which is also so if nothing would move.

    Raises `CheckpointError`, `PlanError`, `DeviceError`, `AlignmentError` and `ResultsError`.
    """
    model_a, model_b = models = open_models([a, b])
    target = new_folder(Path(output), [model.checkpoint for model in models])
    notes: list[str] = []
    if alignment is not None:
        chosen = read_alignment(Path(alignment))
        notes += chosen.other_files(model_a, model_b)
    else:
        with opened_devices(device, thread_count(threads)) as devices:
            workers = Workers.of(devices)
            found = find_alignment(model_a, model_b, seed=seed, workers=workers, draws=DRAWS, progress=progress)
        chosen = found.alignment
        notes += [*found.notes, *_lines(_not_found(found))]
    reordering = reorder(model_a, model_b, chosen)
    notes += _lines(reordering.notes)
    if not reordering.moves:
        one, other = model_a.checkpoint.name, model_b.checkpoint.name
        raise ResultsError(
            f"nothing of {other} can be moved to where it stands in {one}: a copy would be {other} itself",
            "; ".join(notes) or "all that matches is in place already",
        )
    with appearing(target) as partial:
        left_out = copy_other_files(model_b.checkpoint, partial)
        copy_shards(model_b.checkpoint, reordering.moves, partial, lambda done, total: progress("writing", done, total))
    return Aligned(target, reordering.moved, notes, left_out)


def _not_found(found: Found) -> Iterator[Note]:
    """What has no clear counterpart."""
    for component, layers in found.layers.items():
        if layers.arrangement == "none":
            yield Note(component, None, "layers match none of A clearly: each is taken for the one in its place")
    for match in found.mlps:
        lacking = set(range(len(match.b))) - set(match.matched.tolist())
        if len(match.matched):  # of routed experts the re-ordering says so then
            lacking = {at for at in lacking if match.b[at].mlp.expert is None}
        if lacking:
            text = "MLPs match none of the same layer of A clearly"
            yield Note(match.component, match.layer_b, text, (len(lacking), len(match.b)))
    for (component, layer), heads in found.heads.items():
        if heads.match is None:
            reason = f"were not searched: {heads.untested}" if heads.untested else "match none of A clearly"
            yield Note(component, layer, f"attention heads {reason}")


def _lines(notes: Iterable[Note]) -> list[str]:
    """One for each text, with the layers that it is about."""
    groups: dict[tuple[str, str], list[Note]] = defaultdict(list)
    for note in notes:
        groups[note.component, note.text].append(note)
    out = []
    for (component, text), same in groups.items():
        layers = sorted({note.layer for note in same if note.layer is not None})
        where = f"{component} {layers_text(layers)}" if layers else component
        parts = [note.part for note in same if note.part is not None]
        count = f"{sum(some for some, _ in parts):,} of {sum(of for _, of in parts):,} " if parts else ""
        out.append(f"{where}: {count}{text}")
    return out
