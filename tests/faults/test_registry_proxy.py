"""A registry that speaks TLS, behind a proxy that wants a login: a tunnel, and who is asked without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command import Command, project
from tests.support.connect_proxy import ConnectProxy
from tests.support.registry_server import RegistryServer, running_registry

NAME = "registry.invalid/team/app:1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with running_registry(tmp_path_factory.mktemp("registry"), tls=True, users={"ann": "pw"}) as server:
        yield server


@pytest.fixture
def proxy(server: RegistryServer) -> Iterator[ConnectProxy]:
    with ConnectProxy({"registry.invalid:443": server.host}, ("joe", "p@ss")) as proxy:
        yield proxy


@pytest.fixture
def lamina(server: RegistryServer, proxy: ConnectProxy, busybox_store: Path, tmp_path: Path) -> Command:
    return machine(tmp_path, server, f"http://joe:p%40ss@{proxy.host}")


def machine(folder: Path, server: RegistryServer, proxy: str, direct: str = "") -> Command:
    """A machine that knows the registry's authority, and goes through a proxy."""
    settings = folder / ".config/lamina/config.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f'[registry."registry.invalid"]\nca = "{server.ca}"\n')
    env = {"HOME": str(folder), "HTTPS_PROXY": proxy, "https_proxy": "", "http_proxy": "http://127.0.0.1:1"}
    return Command(folder / "store", env={**env, "NO_PROXY": direct, "no_proxy": ""})


def test_login_push_and_pull_go_through_the_tunnel(
    server: RegistryServer, proxy: ConnectProxy, lamina: Command, busybox_tar: Path, tmp_path: Path
) -> None:
    lamina.run("import", busybox_tar, NAME).ok()
    lamina.run("login", "-u", "ann", "--password-stdin", "registry.invalid", stdin=b"pw").ok()
    digest = lamina.run("push", "-q", NAME).ok().out
    lamina.run("rmi", NAME).ok()
    assert lamina.run("pull", "-q", NAME).ok().out == digest
    context = project(tmp_path / "p", f"FROM {NAME}\nCOPY Dockerfile /\n")
    cache = "type=registry,ref=registry.invalid/team/cache"
    done = lamina.build(context, "--cache-to", cache).ok()
    assert done.result["shared"]["written"] == 1 and not done.warnings
    assert set(proxy.asked) == {"registry.invalid:443"} and not proxy.refused
    lamina.verify()


def test_a_wrong_login_at_the_proxy_is_named_and_not_shown(
    server: RegistryServer, proxy: ConnectProxy, tmp_path: Path
) -> None:
    done = machine(tmp_path, server, f"http://joe:wrong-secret@{proxy.host}").run("pull", NAME)
    assert (done.code, proxy.asked) == (6, [])
    assert "[registry-unreachable]" in done.err and "proxy" in done.err and "407" in done.err
    assert "wrong-secret" not in done.err and "Traceback" not in done.err


def test_a_proxy_that_is_not_there(server: RegistryServer, tmp_path: Path) -> None:
    done = machine(tmp_path, server, "http://127.0.0.1:1").run("pull", NAME)
    assert done.code == 6
    assert "[registry-unreachable]" in done.err and "the proxy: Connection refused" in done.err


@pytest.mark.parametrize("direct", ["registry.invalid", ".invalid", "example.com,registry.invalid:443", "*"])
def test_who_is_asked_without_the_proxy(
    server: RegistryServer, proxy: ConnectProxy, tmp_path: Path, direct: str
) -> None:
    """The name is known to the proxy alone, so it is not found."""
    done = machine(tmp_path, server, f"http://joe:p%40ss@{proxy.host}", direct).run("pull", NAME)
    assert (done.code, proxy.asked, proxy.refused) == (6, [], [])
    assert "the name cannot be resolved" in done.err


def test_this_machine_is_asked_without_the_proxy(server: RegistryServer, proxy: ConnectProxy, tmp_path: Path) -> None:
    user = machine(tmp_path, server, f"http://joe:p%40ss@{proxy.host}")
    (tmp_path / ".config/lamina/config.toml").write_text(f'[registry."{server.host}"]\nca = "{server.ca}"\n')
    user.run("login", "-u", "ann", "--password-stdin", server.host, stdin=b"pw").ok()
    assert (proxy.asked, proxy.refused) == ([], [])
