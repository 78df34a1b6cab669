"""weightkin: does one large language model come from another?"""

__version__ = "0.1.0"
