"""Python packages: see `ecosystem.py`."""

from dsvm.ecosystems.pypi.ecosystem import ECOSYSTEM

__all__ = ["ECOSYSTEM"]
