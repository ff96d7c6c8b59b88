"""R packages: see `ecosystem.py`."""

from dsvm.ecosystems.cran.ecosystem import ECOSYSTEM

__all__ = ["ECOSYSTEM"]
