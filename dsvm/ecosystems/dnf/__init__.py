"""RPM packages: see `ecosystem.py`."""

from dsvm.ecosystems.dnf.ecosystem import ECOSYSTEM

__all__ = ["ECOSYSTEM"]
