"""Which proxy a request goes through."""

from __future__ import annotations

import pytest

from lamina.registry.proxies import Proxies, proxy_for

HTTP, HTTPS = "http://p.example:3128", "http://s.example:3128"


@pytest.mark.parametrize(
    ("url", "direct", "expected"),
    [
        ("http://r.example/v2/", (), HTTP),
        ("https://r.example/v2/", (), HTTPS),
        ("https://127.0.0.1:5000/v2/", (), None),
        ("http://localhost:5000/v2/", (), None),
        ("http://[::1]:5000/v2/", (), None),
        ("https://r.example/v2/", ("*",), None),
        ("https://r.example/v2/", ("",), HTTPS),
        ("https://r.example/v2/", ("r.example",), None),
        ("https://r.example/v2/", (" R.Example ",), None),
        ("https://sub.r.example/v2/", ("r.example",), None),
        ("https://sub.r.example/v2/", (".r.example",), None),
        ("https://r.example/v2/", (".r.example",), HTTPS),
        ("https://sub.r.example/v2/", ("*.r.example",), None),
        ("https://bar.example/v2/", ("r.example",), HTTPS),
        ("https://r.example:5000/v2/", ("r.example:5000",), None),
        ("https://r.example/v2/", ("r.example:5000",), HTTPS),
        ("https://r.example/v2/", ("r.example:443",), None),
        ("https://10.1.2.3/v2/", ("10.0.0.0/8",), None),
        ("https://10.1.2.3/v2/", ("10.1.2.3",), None),
        ("https://11.1.2.3/v2/", ("10.0.0.0/8",), HTTPS),
    ],
)
def test_the_way(url: str, direct: tuple[str, ...], expected: str | None) -> None:
    found = proxy_for(Proxies(HTTP, HTTPS, direct), url)
    assert (found and found[0]) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("p.example:1", ("http://p.example:1", "")),
        ("http://ann:p%40w@p.example:1", ("http://p.example:1", "Basic YW5uOnBAdw==")),
        ("ann@p.example:1", ("http://p.example:1", "Basic YW5uOg==")),
        ("https://p.example", ("https://p.example", "")),
        ("", None),
    ],
)
def test_the_proxys_address(written: str, expected: tuple[str, str] | None) -> None:
    assert proxy_for(Proxies(http=written), "http://r.example/") == expected


def test_a_password_is_not_shown() -> None:
    assert "pw" not in repr(Proxies("http://ann:pw@p.example"))
