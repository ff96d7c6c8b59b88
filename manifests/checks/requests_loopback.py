"""requests talks to a server on loopback: JSON, a redirect, a form, an error."""

from __future__ import annotations

from lib.http_server import Handler, loopback
from lib.outcome import run_check


class Site(Handler):
    def do_GET(self) -> None:
        if self.path == "/old":
            self.answer(302, headers={"Location": "/new"})
        elif self.path == "/new":
            self.answer(200, b'{"answer": 42}')
        else:
            self.answer(404)

    def do_POST(self) -> None:
        self.answer(200, self.body())


def check() -> dict[str, object]:
    import requests

    session = requests.Session()
    session.trust_env = False  # a proxy in the environment is not what is checked here
    with loopback(Site) as url:
        moved = session.get(f"{url}/old", timeout=20)
        if not (moved.json() == {"answer": 42} and len(moved.history) == 1):
            raise AssertionError(f"{moved.status_code} {moved.text}")
        form = session.post(f"{url}/form", data={"town": "Łódź"}, timeout=20).text
        if form != "town=%C5%81%C3%B3d%C5%BA":
            raise AssertionError(f"form {form}")
        try:
            session.get(f"{url}/missing", timeout=20).raise_for_status()
        except requests.HTTPError as error:
            return {"redirects": len(moved.history), "error": error.response.status_code}
    raise AssertionError("404 raised no error")


if __name__ == "__main__":
    run_check(__file__, check)
