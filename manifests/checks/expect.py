"""What check scripts expect, said so that it counts whatever the interpreter is told: `python -O` drops `assert`."""


def expect(truth: object, otherwise: str = "not as expected") -> None:
    """Raise AssertionError with `otherwise` unless `truth` is true."""
    if not truth:
        raise AssertionError(otherwise)
