"""Errors that are the input's or the machine's fault: one line for the user, exit status 1."""

from __future__ import annotations

from pathlib import Path


class WeightkinError(Exception):
    """A known failure. `str(error)` is one line; `hint` says what to do next, if anything."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class CheckpointError(WeightkinError):
    """A checkpoint breaks a rule. The line names the file, the tensor if there is one, and the rule."""

    def __init__(self, file: Path | str, rule: str, tensor: str | None = None, hint: str | None = None) -> None:
        where = f"{file}: tensor {tensor!r}" if tensor is not None else f"{file}"
        super().__init__(f"{where}: {rule}", hint)
        self.file, self.rule, self.tensor = Path(file), rule, tensor


class PlanError(WeightkinError):
    """The given models or options leave nothing sensible to do."""


class ResultsError(WeightkinError):
    """A results folder cannot be written, resumed or read."""


class AlignmentError(WeightkinError):
    """An alignment cannot be read, or is not one of the models that it is used for."""


class DeviceError(WeightkinError):
    """A device cannot be used, or failed while it was."""


class DeviceWarning(UserWarning):
    """A device failed, and the run goes on without it."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run, of whose `total` units `done` are in the journal of `output` (None: in memory, lost)."""

    def __init__(self, done: int, total: int, output: Path | None) -> None:
        super().__init__()
        self.done, self.total, self.output = done, total, output
