"""Devices: what computes slabs. The host's cores are one device, each GPU is another; `choosing.choose_devices` names them."""

from .choosing import choose_devices, opened_devices
from .device import Device, Part, describe_devices, kinds
from .host import HostDevice
from .weights import Weights

__all__ = ["Device", "HostDevice", "Part", "Weights", "choose_devices", "describe_devices", "kinds", "opened_devices"]
