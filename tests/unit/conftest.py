from release_world import either, world
from shared import engines, host, server

__all__ = ["either", "engines", "host", "server", "world"]
