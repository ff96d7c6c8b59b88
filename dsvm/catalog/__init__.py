"""YAML manifests -> catalog: strict keys, every fault of every file at once."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
