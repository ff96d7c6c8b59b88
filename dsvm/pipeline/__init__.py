"""What each command does: container images, virtual machines made here, or images of a cloud."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
