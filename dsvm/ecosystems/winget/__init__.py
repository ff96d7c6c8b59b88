"""Windows packages: see `ecosystem.py`."""

from dsvm.ecosystems.winget.ecosystem import ECOSYSTEM

__all__ = ["ECOSYSTEM"]
