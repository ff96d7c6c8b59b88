"""Julia packages: see `ecosystem.py`."""

from dsvm.ecosystems.julia.ecosystem import ECOSYSTEM

__all__ = ["ECOSYSTEM"]
