"""sympy differentiates, integrates and solves, exactly."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import sympy

    x = sympy.Symbol("x")
    integral = sympy.integrate(sympy.exp(-(x**2)), (x, -sympy.oo, sympy.oo))
    if integral != sympy.sqrt(sympy.pi):
        raise AssertionError(f"the Gaussian integral is {integral}")
    roots = sympy.solve(x**2 - 2, x)
    if sorted(roots, key=float) != [-sympy.sqrt(2), sympy.sqrt(2)]:
        raise AssertionError(f"roots {roots}")
    slope = sympy.lambdify(x, sympy.diff(sympy.sin(x) * x, x))(0.0)
    if slope != 0.0:
        raise AssertionError(f"slope {slope}")
    return {"integral": str(integral), "roots": str(roots)}


if __name__ == "__main__":
    run_check(__file__, check)
