"""Programs from npm: see `ecosystem.py`."""

from dsvm.ecosystems.npm.ecosystem import ECOSYSTEM

__all__ = ["ECOSYSTEM"]
