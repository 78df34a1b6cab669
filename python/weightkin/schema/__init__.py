"""What each tensor of a checkpoint is: its address, its axes, and where its parts lie in fused tensors."""

from .model import Address, Model, Slot
from .resolve import resolve
from .roles import COMPONENTS, GROUPS, Role, axes_of, display_order, group_of, load_roles

__all__ = [
    "COMPONENTS", "GROUPS", "Address", "Model", "Role", "Slot", "axes_of", "display_order", "group_of", "load_roles",
    "resolve",
]  # fmt: skip
