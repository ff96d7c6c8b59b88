"""Pages that people open in a browser: everything about an image in one file, and an overview of all variants."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
