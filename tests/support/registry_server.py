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
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.ports import serving


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
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": delete}},
        "http": {"secret": "only-for-tests"},
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

    def start(port: int) -> subprocess.Popen[bytes]:
        config["http"]["addr"] = f"127.0.0.1:{port}"
        config_file.write_text(json.dumps(config))  # JSON is YAML
        with log.open("wb") as output:
            return subprocess.Popen(["docker-registry", "serve", str(config_file)], stdout=output, stderr=output)

    with serving(start, lambda: log.read_text(errors="replace")) as port:
        yield RegistryServer(f"127.0.0.1:{port}", ca, folder / "data", log)


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
