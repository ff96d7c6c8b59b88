"""Releases in a registry: verified images with all that belongs to them, published, named, taken back, cleared away."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
