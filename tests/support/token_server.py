"""A token server for tests of bearer authentication: it signs tokens that a real docker-registry verifies.

Speaks distribution's token protocol: GET with basic credentials or none, POST (OAuth2) with a refresh token. Anybody
may pull from repositories whose name starts with `public/`; the users may pull and push everywhere. Requests are kept
in `seen`, so that a test can see what a client sent.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.registry_server import TokenRealm


@dataclass
class TokenServer:
    """A running token server. `identity_tokens` maps a refresh token to its user; `expires_in` is what it promises,
    `lifetime` for how many seconds its tokens are good."""

    realm: TokenRealm
    users: Mapping[str, str]
    identity_tokens: Mapping[str, str]
    key: Path
    expires_in: int = 300
    lifetime: int = 300
    seen: list[tuple[str, dict[str, list[str]], str]] = field(default_factory=list)


@contextmanager
def running_token_server(
    folder: Path, users: Mapping[str, str], identity_tokens: Mapping[str, str] | None = None
) -> Iterator[TokenServer]:
    """Start it on a free port of loopback; it ends with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "token.pem", folder / "token.key"
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=issuer.test"]
    subprocess.run([*openssl, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    realm = TokenRealm(f"http://127.0.0.1:{httpd.server_address[1]}/token", certificate)
    server = TokenServer(realm, users, identity_tokens or {}, key)
    httpd.token_server = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        header = self.headers.get("Authorization", "")
        server = self._server("GET", query, header)
        user: str | None = None
        if header:
            name, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
            if server.users.get(name) != secret:
                self._reply(401, {"details": "incorrect username or password"})
                return
            user = name
        self._grant(server, user, query.get("scope", []), "token")

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        server = self._server("POST", form, self.headers.get("Authorization", ""))
        user = server.identity_tokens.get(form.get("refresh_token", [""])[0])
        if form.get("grant_type") != ["refresh_token"] or user is None:
            self._reply(400, {"error": "invalid_grant"})
            return
        self._grant(server, user, form.get("scope", [""])[0].split(), "access_token")

    def _server(self, method: str, fields: dict[str, list[str]], authorization: str) -> TokenServer:
        server: TokenServer = self.server.token_server  # type: ignore[attr-defined]
        server.seen.append((method, fields, authorization))
        return server

    def _grant(self, server: TokenServer, user: str | None, scopes: list[str], member: str) -> None:
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            allowed = actions.split(",") if user else [a for a in actions.split(",") if a == "pull"]
            if user or name.startswith("public/"):
                access.append({"type": kind, "name": name, "actions": allowed})
        self._reply(200, {member: _signed(server, user or "", access), "expires_in": server.expires_in})

    def _reply(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def _signed(server: TokenServer, subject: str, access: list[dict[str, Any]]) -> str:
    """A JSON Web Token, RS256, with the signing certificate in its header (`x5c`), as the registry wants it."""
    pem = server.realm.certificate.read_text()
    der = "".join(line for line in pem.splitlines() if not line.startswith("-"))
    now = int(time.time())
    claims = {
        "iss": server.realm.issuer,
        "aud": server.realm.service,
        "sub": subject,
        "iat": now,
        "nbf": now - 10,
        "exp": now + server.lifetime,
        "jti": str(time.monotonic_ns()),
        "access": access,
    }
    head = {"alg": "RS256", "typ": "JWT", "x5c": [der]}
    signed = f"{_url64(json.dumps(head).encode())}.{_url64(json.dumps(claims).encode())}"
    run = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(server.key)], input=signed.encode(), capture_output=True, check=True
    )
    return f"{signed}.{_url64(run.stdout)}"


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
