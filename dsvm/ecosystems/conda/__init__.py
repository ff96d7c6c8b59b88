"""Conda packages: see `ecosystem.py`."""

from dsvm.ecosystems.conda.ecosystem import ECOSYSTEM

__all__ = ["ECOSYSTEM"]
