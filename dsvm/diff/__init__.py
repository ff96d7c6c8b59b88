"""What differs between two locks, of today or as version control has them, and between a lock and an image."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
