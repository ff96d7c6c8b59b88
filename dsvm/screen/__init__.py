"""What people see: messages, tables, and how a step goes on. No other room prints."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
