"""What registries offer now of packages that are locked, where an ecosystem is one module."""
