"""Templates: what is wrong with one is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsvm.model import InputError
from dsvm.plan import rendering as render


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("FROM base\nRUN {{ nothing }}\n", 2, "'nothing' is undefined"),
        ("FROM base\n\n{% for one in plan.stagges %}{% endfor %}\n", 3, "has no attribute 'stagges'"),
        ("FROM base\n{% for %}\n", 2, "Expected"),
        ("{{ plan | loud }}\n", 1, "No filter named 'loud'"),
    ],
)
def test_a_broken_template_is_an_input_error_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, what: str
) -> None:
    (tmp_path / "Dockerfile.j2").write_text(text)
    monkeypatch.setattr(render, "TEMPLATES", tmp_path)
    render.environment.cache_clear()
    try:
        with pytest.raises(InputError) as caught:
            render.render("Dockerfile.j2", plan=object())
    finally:
        render.environment.cache_clear()
    assert caught.value.message.startswith(f"{tmp_path}/Dockerfile.j2:{line}: ")
    assert what in caught.value.message
