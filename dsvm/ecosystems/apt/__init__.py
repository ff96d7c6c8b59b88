"""Debian packages: see `ecosystem.py`."""

from dsvm.ecosystems.apt.ecosystem import ECOSYSTEM

__all__ = ["ECOSYSTEM"]
