"""Ullage keeps conversations with local language models inside the memory that the machine really has."""

__version__ = "0.1.0"
