"""One module for each cloud, all behind its own command line."""
