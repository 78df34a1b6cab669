"""What each tensor of a checkpoint is: its address, its axes, and where its parts lie in fused tensors."""

from .model import Address, Model, Slot
from .resolve import resolve
from .roles import GROUPS, Role, axes_of, group_of, load_roles

__all__ = ["GROUPS", "Address", "Model", "Role", "Slot", "axes_of", "group_of", "load_roles", "resolve"]
