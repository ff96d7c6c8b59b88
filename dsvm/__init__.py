"""DSVM: one tool manifest in, tested data-science images out."""
