"""Plan -> image: one module for each kind of builder."""
