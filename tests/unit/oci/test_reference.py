"""Image names: Docker's grammar as a table, and that writing and reading are inverse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.digest import Digest
from lamina.oci.reference import Reference, parse_reference

HEX = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "familiar"),
    [
        ("ubuntu", "docker.io", "library/ubuntu", "latest", "ubuntu:latest"),
        ("ubuntu:22.04", "docker.io", "library/ubuntu", "22.04", "ubuntu:22.04"),
        ("library/ubuntu", "docker.io", "library/ubuntu", "latest", "ubuntu:latest"),
        ("user/app", "docker.io", "user/app", "latest", "user/app:latest"),
        ("user/deep/app:1", "docker.io", "user/deep/app", "1", "user/deep/app:1"),
        ("docker.io/ubuntu", "docker.io", "library/ubuntu", "latest", "ubuntu:latest"),
        ("index.docker.io/ubuntu", "docker.io", "library/ubuntu", "latest", "ubuntu:latest"),
        ("registry-1.docker.io/user/app:1", "docker.io", "user/app", "1", "user/app:1"),
        ("docker.io/library/library", "docker.io", "library/library", "latest", "library:latest"),
        ("docker.io/library/a/b:1", "docker.io", "library/a/b", "1", "library/a/b:1"),
        ("docker.io/a.b/c:1", "docker.io", "a.b/c", "1", "docker.io/a.b/c:1"),
        ("docker.io/localhost/c:1", "docker.io", "localhost/c", "1", "docker.io/localhost/c:1"),
        ("ghcr.io/o/r:v1", "ghcr.io", "o/r", "v1", "ghcr.io/o/r:v1"),
        ("ghcr.io/one", "ghcr.io", "one", "latest", "ghcr.io/one:latest"),
        ("localhost/app", "localhost", "app", "latest", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000", "app", "1", "localhost:5000/app:1"),
        ("localhost:5000", "docker.io", "library/localhost", "5000", "localhost:5000"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000", "a/b", "latest", "127.0.0.1:5000/a/b:latest"),
        ("[::1]:5000/app:1", "[::1]:5000", "app", "1", "[::1]:5000/app:1"),
        ("[2001:db8::1]/app:1", "[2001:db8::1]", "app", "1", "[2001:db8::1]/app:1"),
        ("Host/app", "Host", "app", "latest", "Host/app:latest"),
        ("host-a.example:443/app", "host-a.example:443", "app", "latest", "host-a.example:443/app:latest"),
        ("a__b/c-d--e.f_g", "docker.io", "a__b/c-d--e.f_g", "latest", "a__b/c-d--e.f_g:latest"),
        ("app:" + "t" * 128, "docker.io", "library/app", "t" * 128, "app:" + "t" * 128),
        ("app:_T.1-x", "docker.io", "library/app", "_T.1-x", "app:_T.1-x"),
        ("scratch", "docker.io", "library/scratch", "latest", "scratch:latest"),
    ],
)
def test_names(text: str, registry: str, repository: str, tag: str, familiar: str) -> None:
    found = parse_reference(text)
    assert (found.registry, found.repository, found.tag, found.digest) == (registry, repository, tag, None)
    assert found.familiar() == familiar
    assert parse_reference(familiar) == found
    assert parse_reference(str(found)) == found


def test_digests() -> None:
    assert parse_reference(f"ubuntu@{HEX}") == Reference("docker.io", "library/ubuntu", "", Digest(HEX))
    both = parse_reference(f"r.example:5000/a:1@{HEX}")
    assert both == Reference("r.example:5000", "a", "1", Digest(HEX))
    assert str(both) == f"r.example:5000/a:1@{HEX}"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "''"),
        ("Ubuntu", "names are lower case"),
        ("user/App", "names are lower case"),
        ("ubuntu:", "tag"),
        ("ubuntu:-x", "tag"),
        ("ubuntu:a b", "tag"),
        ("ubuntu:" + "t" * 129, "tag"),
        ("ubuntu:é", "tag"),
        ("ubuntu@", "digest"),
        ("ubuntu@sha256:abc", "digest"),
        (f"ubuntu@{HEX.upper()}", "digest"),
        ("ubuntu@sha512:" + "a" * 128, "digest"),
        (f"ubuntu@{HEX}@{HEX}", "digest"),
        ("/ubuntu", "repository"),
        ("ubuntu/", "repository"),
        ("a//b", "repository"),
        ("a/../b", "repository"),
        ("a/./b", "repository"),
        ("a___b", "repository"),
        ("-a", "repository"),
        ("a_", "repository"),
        ("a..b", "repository"),
        ("ubuntu ", "repository"),
        ("ubuntu\n", "repository"),
        ("r.example/", "repository"),
        ("a/" * 127 + "abc", "repository"),
        ("r..example/a", "registry"),
        ("-r.example/a", "registry"),
        ("r.example-/a", "registry"),
        (".r.example/a", "registry"),
        ("r.example:port/a", "registry"),
        ("r.example:123456/a", "registry"),
        ("r_x.example/a", "registry"),
        ("user@r.example/a", "digest"),
        ("https://r.example/a", ""),
        ("$BASE", ""),
        ("[::1/a", "registry"),
    ],
)
def test_invalid_names_say_which_part(text: str, part: str) -> None:
    with pytest.raises(ValueError, match="invalid image name") as caught:
        parse_reference(text)
    assert part in str(caught.value)


COMPONENT = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)
REGISTRY = st.sampled_from(("docker.io", "localhost", "localhost:5000", "ghcr.io", "[::1]:80", "UPPER", "10.0.0.1:5"))
TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,10}", fullmatch=True)
DIGEST = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True).map(Digest)


@st.composite
def references(draw: st.DrawFn) -> Reference:
    registry = draw(REGISTRY)
    path = draw(st.lists(COMPONENT, min_size=2 if registry == "docker.io" else 1, max_size=4))
    digest = draw(st.none() | DIGEST)
    tag = draw(TAG if digest is None else TAG | st.just(""))
    return Reference(registry, "/".join(path), tag, digest)


@given(references())
def test_reading_what_was_written(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.familiar()) == reference


@given(st.text(alphabet="aA0.:/@_-[] é\n", max_size=20) | st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_reference(text)
    except ValueError:
        return
    assert parse_reference(str(found)) == found
    assert ".." not in found.repository.split("/")
