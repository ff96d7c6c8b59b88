"""What is in a variant, whether it may be shipped, and what is known to be wrong with it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
