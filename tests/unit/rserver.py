"""Stands in for RStudio's rserver, which no test can fetch: its options, its pages for signing in, its way of asking.

As in https://github.com/rstudio/rstudio, src/cpp/server: server-options.json, ServerPAMAuth.cpp and
auth/ServerAuthCommon.cpp. A program that is started without root's rights lets everybody in unless it is told not to.
"""

from __future__ import annotations

import argparse
import base64
import http.cookies
import os
import random
import secrets
import subprocess
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

# option -> its value when it is not given
OPTIONS = {
    "verify-installation": "0",
    "server-daemonize": "0",
    "server-user": "rstudio-server",
    "server-data-dir": "/nonexistent",
    "server-pid-file": "/nonexistent/pid",
    "secure-cookie-key-file": "/nonexistent/key",
    "database-config-file": "/nonexistent/database.conf",
    "www-address": "0.0.0.0",
    "www-port": "8787",
    "www-verify-user-agent": "1",
    "auth-none": "1",
    "auth-validate-users": "0",
    "auth-pam-helper-path": "rserver-pam",
    "auth-sign-in-throttle-seconds": "1",
    "rsession-which-r": "",
}
CSRF, USER = "rs-csrf-token", "user-id"


def prime(bits: int) -> int:
    """A number that is prime by all that Fermat can tell, with its two highest bits set."""
    while True:
        number = random.getrandbits(bits) | 1 | 3 << (bits - 2)
        if all(pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7)):
            return number


P, Q, EXPONENT = prime(512), prime(512), 65537
MODULUS = P * Q
PRIVATE = pow(EXPONENT, -1, (P - 1) * (Q - 1))


def decrypted(value: str) -> str:
    number = pow(int.from_bytes(base64.b64decode(value), "big"), PRIVATE, MODULUS)
    text = number.to_bytes((MODULUS.bit_length() + 7) // 8, "big")
    if not text.startswith(b"\0\2") or b"\0" not in text[10:]:
        raise ValueError("no PKCS #1 padding")
    return text[text.index(b"\0", 2) + 1 :].decode()


class Server(BaseHTTPRequestHandler):
    options: argparse.Namespace
    signed_in: ClassVar[set[str]] = set()
    tried: ClassVar[dict[str, float]] = {}

    def cookie(self, name: str) -> str:
        found = http.cookies.SimpleCookie(self.headers.get("Cookie", "")).get(name)
        return found.value if found else ""

    def answer(self, status: int, text: str = "", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self) -> None:
        path = urllib.parse.urlsplit(self.path).path
        if path == "/auth-sign-in":
            token = self.cookie(CSRF) or secrets.token_hex(8)
            self.answer(200, '<input type="password">', Set_Cookie=f"{CSRF}={token}; Path=/; HttpOnly")
        elif path == "/auth-public-key":
            self.answer(200, f"{EXPONENT:x}:{MODULUS:x}")
        elif self.options.auth_none == "1" or self.cookie(USER) in self.signed_in:
            self.answer(200, "the workbench")
        else:
            self.answer(302, Location="./auth-sign-in?appUri=" + urllib.parse.quote(self.path, safe=""))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
        if not form.get(CSRF) or form[CSRF] != self.cookie(CSRF):
            self.answer(400, "Missing or incorrect token.")
            return
        user, _, password = decrypted(form["v"]).partition("\n")
        helper = [self.options.auth_pam_helper_path, user, "rstudio", "1"]
        right = subprocess.run(helper, input=password.encode(), check=False).returncode == 0
        now = time.monotonic()
        if now < self.tried.get(user, 0) + float(self.options.auth_sign_in_throttle_seconds):
            self.answer(302, Location="./auth-sign-in?appUri=&error=2")
            return
        self.tried[user] = now
        if not right:
            self.answer(302, Location="./auth-sign-in?appUri=&error=1")
            return
        self.signed_in.add(secret := secrets.token_hex(8))
        self.answer(302, Location="/", Set_Cookie=f"{USER}={secret}; Path=/; HttpOnly")

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name, value in OPTIONS.items():
        parser.add_argument(f"--{name}", default=value)
    given = parser.parse_args()
    # what it cannot write, or is for root, ends it
    Path(given.server_data_dir, "here").touch()
    Path(given.secure_cookie_key_file).write_text(secrets.token_hex(16))
    provider, folder = Path(given.database_config_file).read_text().splitlines()
    if provider != "provider=sqlite" or not folder.startswith("directory=/") or os.environ["USER"] != given.server_user:
        sys.exit("rserver: what it is told does not fit together")
    if given.verify_installation == "1":
        return
    Server.options = given
    with ThreadingHTTPServer((given.www_address, int(given.www_port)), Server) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
