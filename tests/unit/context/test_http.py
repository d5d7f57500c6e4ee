"""Files from the web: what is asked, kept, trusted and told, against a real server."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.ports import closed_port
from tests.support.registry_server import make_authority, make_certificate
from tests.support.web_server import Page, WebServer, running_web_server

from lamina.context.downloading import Bounds
from lamina.context.fetch import Downloads
from lamina.diagnostics import BuildFailure
from lamina.plan.steps import HttpSource
from lamina.ports.sources import Fetched

QUICK = Bounds(connect_seconds=5, idle_seconds=0.2, pauses=(0.0, 0.0), max_bytes=1000)
DATE, EPOCH = "Mon, 01 Jan 2024 00:00:00 GMT", 1704067200


@pytest.fixture
def web() -> Iterator[WebServer]:
    with running_web_server() as server:
        yield server


@pytest.fixture
def downloads(tmp_path: Path) -> Downloads:
    return Downloads(tmp_path / "root", "lamina/1", {}, QUICK)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def content(fetched: Fetched) -> bytes:
    (record,) = fetched.records
    return (fetched.root / record.path).read_bytes()


def failure(fetch: Callable[[], object]) -> str:
    """Everything that a failure tells."""
    with pytest.raises(BuildFailure) as raised:
        fetch()
    told = raised.value.diagnostic
    return f"{told.reference}: {told.message}: {told.cause}: {told.hint}"


def kept(root: Path) -> list[Path]:
    """All that is below `root` but locks."""
    return [path for path in root.rglob("*") if path.suffix != ".lock"]


def test_a_file_has_its_name_mode_time_and_digest(downloads: Downloads, web: WebServer) -> None:
    web.pages["/dir/file.txt"] = Page(b"content\n", last_modified=DATE)
    fetched = downloads.http(HttpSource(web.url("/dir/file.txt?x=1")))
    (record,) = fetched.records
    assert (record.path, record.kind, record.mode, record.size) == ("file.txt", "file", 0o600, 8)
    assert fetched.identity == digest(b"content\n") == f"sha256:{record.content}"
    status = (fetched.root / "file.txt").stat()
    assert (status.st_mode & 0o7777, status.st_mtime, content(fetched)) == (0o600, EPOCH, b"content\n")
    assert [headers["user-agent"] for _, _, headers in web.asked] == ["lamina/1"]


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Jan 2024", "Mon, 01 Jan 1601 00:00:00 GMT"])
def test_a_file_without_a_date_is_of_the_epoch(downloads: Downloads, web: WebServer, date: str) -> None:
    web.pages["/f"] = Page(b"x", last_modified=date)
    assert (downloads.http(HttpSource(web.url("/f"))).root / "f").stat().st_mtime == 0


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/b", "b"),
        ("/a/b/", "b"),
        ("/a%20b%2Bc", "a b+c"),
        ("/a%2Fb", "b"),
        ("/%ff", "\udcff"),
        ("/", "__unnamed__"),
        ("/..", "__unnamed__"),
        ("/%2e%2E", "__unnamed__"),
        ("/x%00y", "__unnamed__"),
        ("/" + "n" * 300, "__unnamed__"),
    ],
)
def test_the_name_is_the_end_of_the_path(downloads: Downloads, web: WebServer, path: str, name: str) -> None:
    web.pages["*"] = Page(b"x")
    fetched = downloads.http(HttpSource(web.url(path)))
    assert [record.path for record in fetched.records] == [name]
    assert content(fetched) == b"x"


@pytest.mark.parametrize("validator", ["etag", "last_modified"])
def test_what_did_not_change_is_not_sent_again(downloads: Downloads, web: WebServer, validator: str) -> None:
    page = web.pages["/f"] = Page(b"one", **{validator: DATE})  # type: ignore[arg-type]
    source = HttpSource(web.url("/f"))
    assert downloads.http(source) == downloads.http(source)
    assert web.statuses() == [200, 304]
    page.body = b"two"
    setattr(page, validator, "Tue, 02 Jan 2024 00:00:00 GMT")
    assert content(downloads.http(source)) == b"two"
    assert content(downloads.http(source)) == b"two"
    assert web.statuses() == [200, 304]


def test_what_was_lost_is_fetched_again(downloads: Downloads, web: WebServer, tmp_path: Path) -> None:
    web.pages["/f"] = Page(b"one", etag='"1"')
    source = HttpSource(web.url("/f"))
    fetched = downloads.http(source)
    (fetched.root / "f").unlink()
    fetched.root.rmdir()
    assert content(downloads.http(source)) == b"one"
    (memory,) = (tmp_path / "root").glob("url-*.json")
    for damage in (b"", b"\xff{", b"[]", b'{"size":1}'):
        memory.write_bytes(damage)
        assert content(downloads.http(source)) == b"one"
    assert web.statuses() == [200] * 6


def test_a_checksum_that_is_there_asks_nobody(downloads: Downloads, web: WebServer) -> None:
    web.pages["/f"] = web.pages["/mirror/f"] = Page(b"one", etag='"1"')
    wanted = digest(b"one")
    first = downloads.http(HttpSource(web.url("/f"), wanted))
    assert downloads.http(HttpSource(web.url("/f"), wanted)) == first
    assert downloads.http(HttpSource(web.url("/mirror/f"), wanted)) == first
    assert web.statuses() == [200]


def test_a_wrong_checksum_keeps_nothing(downloads: Downloads, web: WebServer, tmp_path: Path) -> None:
    web.pages["/f"] = Page(b"evil", etag='"1"')
    told = failure(lambda: downloads.http(HttpSource(web.url("/f"), digest(b"good"))))
    assert told.startswith("fetch-checksum-mismatch") and digest(b"good") in told and digest(b"evil") in told
    assert kept(tmp_path / "root") == []
    assert web.statuses() == [200]


def test_one_content_is_kept_once_under_each_name(downloads: Downloads, web: WebServer, tmp_path: Path) -> None:
    for path in ("/f", "/dir/f", "/g"):
        web.pages[path] = Page(b"one")
    roots = {downloads.http(HttpSource(web.url(path))).root for path in ("/f", "/dir/f", "/g")}
    assert len(roots) == 2 == len(list((tmp_path / "root").glob("file-*")))
    assert not list((tmp_path / "root").glob("draft-*"))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_trouble_is_waited_out(downloads: Downloads, web: WebServer, status: int) -> None:
    web.pages["/f"] = Page(b"x", statuses=[status])
    assert content(downloads.http(HttpSource(web.url("/f")))) == b"x"
    assert web.statuses() == [status, 200]


@pytest.mark.parametrize(
    ("status", "requests", "reference"),
    [(404, 1, "fetch-not-found"), (410, 1, "fetch-not-found"), (403, 1, "fetch-failed"), (500, 3, "fetch-failed"),
     (304, 1, "fetch-failed"), (206, 1, "fetch-failed")],
)  # fmt: skip
def test_lasting_trouble_is_told(
    downloads: Downloads, web: WebServer, tmp_path: Path, status: int, requests: int, reference: str
) -> None:
    web.pages["/f"] = Page(b"x", statuses=[status] * 9)
    told = failure(lambda: downloads.http(HttpSource(web.url("/f"))))
    assert told.startswith(reference) and f"the server says {status}" in told
    assert web.statuses() == [status] * requests
    assert kept(tmp_path / "root") == []


def test_a_body_that_is_cut_short_is_fetched_anew(downloads: Downloads, web: WebServer, tmp_path: Path) -> None:
    web.pages["/f"] = Page(b"0123456789", cut=4, cuts=1)
    assert content(downloads.http(HttpSource(web.url("/f")))) == b"0123456789"
    web.pages["/g"] = Page(b"0123456789", cut=4, cuts=9)
    assert "the connection was cut" in failure(lambda: downloads.http(HttpSource(web.url("/g"))))
    assert web.statuses() == [200] * 5
    assert len(list((tmp_path / "root").glob("[!u]*"))) == 1


def test_a_server_that_falls_silent_is_given_up(downloads: Downloads, web: WebServer) -> None:
    web.pages["/f"] = Page(b"x", stall=True)
    assert "no data within the time limit" in failure(lambda: downloads.http(HttpSource(web.url("/f"))))


def test_a_file_that_is_too_large_is_not_kept(downloads: Downloads, web: WebServer, tmp_path: Path) -> None:
    web.pages["/f"] = Page(b"x" * 1000)
    downloads.http(HttpSource(web.url("/f")))
    before = kept(tmp_path / "root")
    web.pages["/g"] = Page(b"x" * 1001)
    web.pages["/bomb"] = Page(gzip.compress(bytes(100_000)), headers={"Content-Encoding": "gzip"})
    for path in ("/g", "/bomb"):
        told = failure(lambda path=path: downloads.http(HttpSource(web.url(path))))  # type: ignore[misc]
        assert told.startswith("fetch-too-large") and "1,000 bytes" in told
    assert kept(tmp_path / "root") == before


def test_a_packed_body_is_unpacked(downloads: Downloads, web: WebServer) -> None:
    web.pages["/f"] = Page(gzip.compress(b"plain"), headers={"Content-Encoding": "gzip"})
    assert content(downloads.http(HttpSource(web.url("/f")))) == b"plain"
    web.pages["/g"] = Page(b"no gzip", headers={"Content-Encoding": "gzip"})
    assert "damaged" in failure(lambda: downloads.http(HttpSource(web.url("/g"))))


def test_redirects_are_followed_without_passwords(downloads: Downloads, web: WebServer) -> None:
    with running_web_server("127.0.0.2") as other:
        web.pages["/one"] = Page(location="two?back=http://x/")
        web.pages["/two"] = Page(location=other.url("/three"))
        other.pages["/three"] = Page(b"x")
        source = HttpSource(web.url("/one").replace("//", "//us%65r:p%40ss@"))
        fetched = downloads.http(source)
        assert (fetched.records[0].path, content(fetched)) == ("one", b"x")
        sent = [headers.get("authorization") for _, _, headers in (*web.asked, *other.asked)]
        assert sent == ["Basic dXNlcjpwQHNz"] * 2 + [None]


@pytest.mark.parametrize("location", ["/f", "ftp://127.0.0.1/f", "file:///etc/passwd", "http://[::1/f"])
def test_redirects_that_lead_nowhere(downloads: Downloads, web: WebServer, location: str) -> None:
    web.pages["/f"] = Page(b"x", location=location)
    assert failure(lambda: downloads.http(HttpSource(web.url("/f")))).startswith("fetch-failed")
    assert len(web.statuses()) == (11 if location == "/f" else 1)


@pytest.mark.parametrize("url", ["http://[::1/f", "http://h:99999999/f", "http://a b/f", "http:///f", "http://\udcff/"])
def test_addresses_that_are_none(downloads: Downloads, url: str) -> None:
    assert failure(lambda: downloads.http(HttpSource(url))).startswith("fetch-failed")


def test_nobody_there(downloads: Downloads) -> None:
    with closed_port() as port:
        told = failure(lambda: downloads.http(HttpSource(f"http://127.0.0.1:{port}/f")))
    assert told.startswith("fetch-failed") and "Connection refused" in told


def test_secrets_are_neither_told_nor_written(downloads: Downloads, web: WebServer, tmp_path: Path) -> None:
    address = f"http://me:se@cret@{web.host}/f?token=se@cret"
    for page in (None, Page(statuses=[403]), Page(location="http://[se@cret"), Page(b"x"), Page(b"x", etag='"1"')):
        web.pages = {} if page is None else {"/f": page}
        try:
            downloads.http(HttpSource(address))
        except BuildFailure as error:
            told = error.diagnostic
            assert "cret" not in f"{told.message} {told.cause} {told.hint}"
    for path in (tmp_path / "root").rglob("*"):
        assert "cret" not in str(path.relative_to(tmp_path))
        assert path.is_dir() or b"cret" not in path.read_bytes()


def test_the_caller_s_proxy_is_used(tmp_path: Path, web: WebServer) -> None:
    web.pages["http://files.test/f"] = Page(b"by proxy")
    web.pages["/f"] = Page(b"direct")
    for number, environ in enumerate(
        [{"http_proxy": f"http://u:p@{web.host}"}, {"HTTP_PROXY": web.host, "NO_PROXY": "other.test,10.0.0.0/8"}]
    ):
        downloads = Downloads(tmp_path / str(number), "lamina/1", environ, QUICK)
        assert content(downloads.http(HttpSource("http://files.test/f"))) == b"by proxy"
        assert content(downloads.http(HttpSource(web.url("/f")))) == b"direct"
    sent = [(path, headers.get("proxy-authorization")) for path, _, headers in web.asked]
    asked = ["http://files.test/f", "/f"]
    assert sent == list(zip(asked, ["Basic dTpw", None], strict=True)) + [(path, None) for path in asked]
    web.asked.clear()
    with closed_port() as port:
        gone = Downloads(tmp_path / "gone", "lamina/1", {"http_proxy": f"127.0.0.1:{port}"}, QUICK)
        assert "the proxy: Connection refused" in failure(lambda: gone.http(HttpSource("http://files.test/f")))


@pytest.mark.parametrize(
    ("no_proxy", "host", "bypassed"),
    [
        ("files.test", "files.test", True),
        ("test", "files.test", True),
        (".test", "files.test", True),
        ("*.test", "files.test", True),
        ("files.test:80", "files.test", True),
        ("files.test:81", "files.test", False),
        (".files.test", "files.test", False),
        ("les.test", "files.test", False),
        ("192.0.2.0/24", "192.0.2.7", True),
        ("192.0.3.0/24", "192.0.2.7", False),
        ("x, *", "files.test", True),
        ("", "files.test", False),
    ],
)
def test_no_proxy(no_proxy: str, host: str, bypassed: bool) -> None:
    from lamina.context.httpclient import Client

    client = Client("lamina/1", {"http_proxy": "p:1", "no_proxy": no_proxy}, QUICK)
    assert client._proxy(f"http://{host}/") == ("" if bypassed else "p:1")


def test_certificates(tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "tls")
    with running_web_server(tls=make_certificate(tmp_path / "tls", authority)) as web:
        web.pages["/f"] = Page(b"x")
        source = HttpSource(web.url("/f"))
        for number, (bundle, told) in enumerate(
            [("", "unable to get local issuer certificate"), (str(tmp_path / "none"), "No such file")]
        ):
            downloads = Downloads(tmp_path / str(number), "lamina/1", {"SSL_CERT_FILE": bundle}, QUICK)
            assert told in failure(lambda downloads=downloads: downloads.http(source))  # type: ignore[misc]
        assert web.asked == []
        trusting = Downloads(tmp_path / "good", "lamina/1", {"SSL_CERT_FILE": str(authority[0])}, QUICK)
        assert content(trusting.http(source)) == b"x"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, web: WebServer) -> None:
    web.pages["/f"] = Page(b"x")
    (tmp_path / "file").touch()
    downloads = Downloads(tmp_path / "file" / "root", "lamina/1", {}, QUICK)
    assert failure(lambda: downloads.http(HttpSource(web.url("/f")))).startswith("store-io")
