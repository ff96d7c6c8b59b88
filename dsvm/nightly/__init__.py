"""The night: lock anew, build, verify, audit, release; and what to do when something broke."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
