"""This computer: its clients' configuration, engine, files, ports and programs, and downloads."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
