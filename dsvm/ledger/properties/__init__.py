"""What no owner excuses in an image: one module for each subject, see `every.py`."""

from dsvm.ledger.properties.every import every
from dsvm.ledger.properties.sight import Sight

__all__ = ["Sight", "every"]
