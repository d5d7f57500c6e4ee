"""The user's settings for registries: what is read, what wins, what is refused with a hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.diagnostics import BuildFailure
from lamina.registry.settings import endpoint, endpoints
from lamina.workshop.registries import RegistryTable, docker_config, read_settings, read_tables


def written(folder: Path, text: str) -> dict[str, str]:
    """An environment whose home has this configuration."""
    file = folder / ".config/lamina/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return {"HOME": str(folder)}


def test_every_key(tmp_path: Path) -> None:
    (tmp_path / ".config/lamina").mkdir(parents=True)
    (tmp_path / ".config/lamina/ca.pem").write_text("x")
    file = tmp_path / ".config/lamina/config.toml"
    file.write_text(
        """
[registry."docker.io"]
mirrors = ["mirror.example", "http://10.0.0.1:5000"]
[registry."plain.example:5000"]
insecure = true
[registry."private.example"]
ca = "ca.pem"
[registry."127.0.0.1:5000"]
insecure = false
"""
    )
    settings = read_settings({"HOME": str(tmp_path), "LAMINA_INSECURE_REGISTRIES": "more.example"}, "1")
    assert [place.base for place in endpoints(settings, "docker.io")] == [
        "https://mirror.example/v2",
        "http://10.0.0.1:5000/v2",
        "https://registry-1.docker.io/v2",
    ]
    assert endpoint(settings, "plain.example:5000").base == "http://plain.example:5000/v2"
    assert endpoint(settings, "more.example").base == "http://more.example/v2"
    assert endpoint(settings, "private.example").base == "https://private.example/v2"
    assert endpoint(settings, "127.0.0.1:5000").base == "https://127.0.0.1:5000/v2"
    assert endpoint(settings, "localhost:5000").base == "http://localhost:5000/v2"
    assert settings.authorities == {"private.example": str(file.parent / "ca.pem")}


def test_every_key_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs/registries.md").read_text(encoding="utf-8")
    for field in RegistryTable.__struct_fields__:
        assert f"| `{field}` |" in page


def test_the_environment(tmp_path: Path) -> None:
    given = {"HTTPS_PROXY": "http://p", "http_proxy": "q", "HTTP_PROXY": "no", "NO_PROXY": "a,b", "SSL_CERT_FILE": "/c"}
    settings = read_settings(given, "1.2")
    assert (settings.proxies.http, settings.proxies.https, settings.proxies.direct) == ("q", "http://p", ("a", "b"))
    assert (settings.ca_bundle, settings.version) == ("/c", "1.2")
    assert docker_config({}) is None
    assert docker_config({"HOME": "/h"}) == Path("/h/.docker/config.json")
    assert docker_config({"HOME": "/h", "DOCKER_CONFIG": "/d"}) == Path("/d/config.json")
    other = tmp_path / "xdg"
    (other / "lamina").mkdir(parents=True)
    (other / "lamina/config.toml").write_text('[registry."a.example"]\ninsecure = true\n')
    assert read_settings({"HOME": "/h", "XDG_CONFIG_HOME": str(other)}, "1").insecure == ("a.example",)


def test_the_users_word_goes_before_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "etc.toml"
    system.write_text('[registry."a.example"]\ninsecure = true\n[registry."b.example"]\ninsecure = true\n')
    monkeypatch.setattr("lamina.workshop.user_file.SYSTEM", system)
    environment = written(tmp_path, '[registry."a.example"]\ninsecure = false\n')
    settings = read_settings(environment, "1")
    assert (settings.insecure, settings.secure) == (("b.example",), ("a.example",))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("registry = 3", "no table"),
        ('registry."a.example" = 3', "no table"),
        ('[registries."a.example"]', "did you mean registry?"),
        ('[registry."a.example"]\nmirror = []', "did you mean mirrors?"),
        ('[registry."a.example"]\ncolour = "red"', "the keys are mirrors, insecure, ca"),
        ('[registry."a.example"]\nmirrors = "m.example"', "write a list such as"),
        ('[registry."a.example"]\nmirrors = [3]', "write a list such as"),
        ('[registry."a.example"]\ninsecure = "yes"', "write true or false"),
        ('[registry."a.example"]\nca = "/no/such/file.pem"', "there is no file /no/such/file.pem"),
        ('[registry."https://a.example/"]\ninsecure = true', "by its host and port"),
        ("[registry", "config.toml"),
        ("x = " + "[" * 5000, "config.toml"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, told: str) -> None:
    environment = written(tmp_path, text)
    with pytest.raises(BuildFailure) as caught:
        read_settings(environment, "1")
    said = caught.value.diagnostic
    assert said.reference == "usage-configuration"
    assert told in f"{said.message} {said.cause} {said.hint}"
    assert "config.toml" in said.message


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "folder").mkdir()
    for name in ("a.toml", "folder"):
        with pytest.raises(BuildFailure):
            read_tables(tmp_path / name)
    assert read_tables(tmp_path / "none.toml") == {}
