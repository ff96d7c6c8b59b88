"""Every file of an image, and what explains it: an artefact of the lock, or a step that makes it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
