"""Catalog and lock -> plan: the stages of an image, and the text that is rendered from it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
