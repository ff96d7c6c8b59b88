"""Images in clouds: what they are built from there, and publishing what was built here."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
