"""Second Look: a second look at every label in a vision dataset."""

__version__ = "0.1.0"
