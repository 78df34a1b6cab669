"""The canonical form of a model: every norm gain folded into the matrices that read it."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from .model import Address, Model, Slot

FOLDED = "folded into the matrices that read it (canonical form)"


@cache
def readers() -> dict[str, tuple[str, str]]:
    """Role that reads a norm -> (role of the norm, name of the axis that its gain scales)."""
    data = tomllib.loads(files(__package__).joinpath("canonical.toml").read_text())
    return {role: (norm, axis) for axis, norms in data.items() for norm, roles in norms.items() for role in roles}


def gains(model: Model) -> dict[Address, tuple[Slot, str]]:
    """Address of each matrix that reads a norm -> slot of that norm and the axis to scale.

    A tied embedding is no reader: it is the input of the residual stream too, where no gain applies.
    """
    norms = {slot.address: slot for slot in model.slots if slot.view is not None and slot.untested is None}
    found = {}
    for slot in model.slots:
        norm, axis = readers().get(slot.address.role, ("", ""))
        gain = norms.get(slot.address._replace(role=norm, expert=None))
        if gain is not None and axis in slot.axes:
            found[slot.address] = gain, axis
    return found
