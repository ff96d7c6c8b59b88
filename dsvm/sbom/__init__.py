"""Bills of materials (SBOM): everything in an image, with where it comes from and what needs it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
