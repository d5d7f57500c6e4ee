"""A real registry on loopback for tests: Debian's `docker-registry`, started on a free port and stopped by its pid.

Use it as a context manager, or build a fixture from it (one registry a module or session is enough, it starts in about
a tenth of a second):

    @pytest.fixture(scope="module")
    def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
        with running_registry(tmp_path_factory.mktemp("registry")) as server:
            yield server

`server.host` is `127.0.0.1:PORT`; image names are `f"{server.host}/some/name:tag"`. Variants, which can be combined:
`users={"ann": "secret"}` asks for basic authentication (needs `htpasswd` of Debian's apache2-utils), `tls=True` serves
https with a certificate for 127.0.0.1, localhost and registry.invalid signed by `server.ca` (made by openssl),
`token_realm=…` asks for bearer tokens of `tests/support/token_server.py`. Deletion is enabled unless `delete=False`;
files lie below the folder that was given.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RegistryServer:
    """A running registry. `ca` is the authority's PEM file of a TLS registry; `data` holds its files; `log` its log."""

    host: str
    ca: Path | None
    data: Path
    log: Path

    @property
    def url(self) -> str:
        return f"{'https' if self.ca else 'http'}://{self.host}"


@dataclass(frozen=True)
class TokenRealm:
    """Where a token registry sends its clients: the token server's URL and the certificate that signs tokens."""

    url: str
    certificate: Path
    service: str = "registry.test"
    issuer: str = "issuer.test"


@contextmanager
def running_registry(
    folder: Path,
    *,
    users: Mapping[str, str] | None = None,
    tls: bool = False,
    token_realm: TokenRealm | None = None,
    delete: bool = True,
) -> Iterator[RegistryServer]:
    """Start a registry whose files lie below `folder`; it is stopped when the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    host = f"127.0.0.1:{free_port()}"
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": delete}},
        "http": {"addr": host, "secret": "only-for-tests"},
    }
    ca = None
    if tls:
        authority = make_authority(folder / "tls")
        certificate, key = make_certificate(folder / "tls", authority)
        config["http"]["tls"] = {"certificate": str(certificate), "key": str(key)}
        ca = authority[0]
    if users:
        passwords = folder / "htpasswd"
        passwords.write_text("".join(_password_line(name, secret) for name, secret in users.items()))
        config["auth"] = {"htpasswd": {"realm": "test registry", "path": str(passwords)}}
    if token_realm:
        config["auth"] = {
            "token": {
                "realm": token_realm.url,
                "service": token_realm.service,
                "issuer": token_realm.issuer,
                "rootcertbundle": str(token_realm.certificate),
            }
        }
    config_file, log = folder / "config.yml", folder / "registry.log"
    config_file.write_text(json.dumps(config))  # JSON is YAML
    with log.open("wb") as output:
        process = subprocess.Popen(["docker-registry", "serve", str(config_file)], stdout=output, stderr=output)
    try:
        _wait_until_ready(process, host, log)
        yield RegistryServer(host, ca, folder / "data", log)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_authority(folder: Path) -> tuple[Path, Path]:
    """A certificate authority of our own: (certificate, key), PEM."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "ca.pem", folder / "ca.key"
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", "/CN=test authority", "-addext", "basicConstraints=critical,CA:TRUE"),
        *("-addext", "keyUsage=critical,keyCertSign", "-keyout", str(key), "-out", str(certificate)),
    )
    return certificate, key


def make_certificate(folder: Path, authority: tuple[Path, Path]) -> tuple[Path, Path]:
    """A server certificate for 127.0.0.1, localhost and registry.invalid: (certificate, key), PEM."""
    certificate, key, request, extensions = (folder / name for name in ("tls.pem", "tls.key", "tls.csr", "tls.ext"))
    extensions.write_text(
        "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:registry.invalid\nextendedKeyUsage=serverAuth\n"
    )
    _openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(request)),
    )
    _openssl(
        *("x509", "-req", "-in", str(request), "-CA", str(authority[0]), "-CAkey", str(authority[1])),
        *("-CAcreateserial", "-days", "2", "-extfile", str(extensions), "-out", str(certificate)),
    )
    return certificate, key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _password_line(name: str, secret: str) -> str:
    # Cost 4 is bcrypt's least: every request of a test is checked against it.
    run = subprocess.run(["htpasswd", "-niBC", "4", name], input=secret, text=True, capture_output=True, check=True)
    return run.stdout.strip() + "\n"


def _wait_until_ready(process: subprocess.Popen[bytes], host: str, log: Path) -> None:
    name, _, port = host.partition(":")
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            socket.create_connection((name, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"docker-registry did not start:\n{log.read_text(errors='replace')[-2000:]}")
