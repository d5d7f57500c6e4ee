"""What lamina pushes to a real registry: what it moves, what it says, and that other clients take and run it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import Command, Completed, project
from tests.support.docker_daemon import Docker, running_docker
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.token_server import running_token_server
from tests.support.waiting import PATIENCE

USERS = {"ann": "s3cr3t:with colon"}
PASSWORD = USERS["ann"]
TEXT = """FROM busybox
COPY data /app/data
RUN echo made > /app/made
WORKDIR /app
CMD ["cat", "data", "made"]
"""
SAYS = "data\nmade\n"
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def lamina(lamina: Command, tmp_path: Path) -> Command:
    """The command with a home of its own."""
    return Command(lamina.root, env=at_home(tmp_path / "home"))


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return project(tmp_path / "project", TEXT, {"data": "data\n"})


def at_home(home: Path, **more: str) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    cleared = dict.fromkeys(("DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE"), "")
    return {"HOME": str(home), **cleared, **more}


def elsewhere(lamina: Command, folder: Path) -> Command:
    """Another machine: the same home, an empty store."""
    return Command(folder / "other-store", env=lamina.env)


def tool(*words: str | Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        list(map(str, words)), capture_output=True, timeout=60, check=False, env={**os.environ, **(env or {})}
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def raw(server: RegistryServer, name: str) -> Any:
    return json.loads(tool("skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{server.host}/{name}"))


def test_what_is_pushed_is_pulled_and_run_elsewhere(
    registry: RegistryServer, lamina: Command, context: Path, tmp_path: Path
) -> None:
    name = f"{registry.host}/own/app:1"
    image = lamina.build(context, "-t", name).image
    digest = lamina.run("push", "-q", name).ok().out.strip()
    other = elsewhere(lamina, tmp_path)
    assert other.run("pull", "-q", name).ok().out.strip() == digest
    assert other.run("run", name).ok().out == SAYS
    assert other.run("images", "-q", "--no-trunc").out.strip() == image
    other.verify()
    # It goes on as it came.
    second = f"{registry.host}/own/copy:2"
    other.run("tag", name, second).ok()
    assert other.run("push", "-q", second).ok().out.strip() == digest
    assert raw(registry, "own/copy:2")["config"]["digest"] == image


def test_skopeo_podman_and_docker_take_it(
    registry: RegistryServer, lamina: Command, context: Path, tmp_path: Path
) -> None:
    name = f"{registry.host}/clients/app:1"
    image = lamina.build(context, "-t", name, "-o", "type=registry").image
    seen = json.loads(tool("skopeo", "inspect", "--tls-verify=false", f"docker://{name}"))
    assert seen["RepoTags"] == ["1"]
    tool("skopeo", "copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path / 'copied'}:x")
    tool("umoci", "unpack", "--image", f"{tmp_path / 'copied'}:x", tmp_path / "bundle")
    assert (tmp_path / "bundle/rootfs/app/made").read_text() == "made\n"
    with tempfile.TemporaryDirectory(prefix="lamina-podman-", dir="/tmp", ignore_cleanup_errors=True) as runroot:
        podman = (
            *("unshare", "--mount", "--", "podman", "--root", tmp_path / "root", "--runroot", runroot),
            *("--storage-driver", "vfs", "--runtime", "runc", "--cgroup-manager", "cgroupfs"),
            *("--events-backend", "file"),
        )
        tool(*podman, "pull", "--tls-verify=false", name)
        assert "sha256:" + tool(*podman, "image", "inspect", "-f", "{{.Id}}", name).strip() == image
        assert tool(*podman, "run", "--rm", *LIMITS, "--network", "host", name) == SAYS
    with docker_at(tmp_path) as docker:
        docker("pull", name)
        assert docker("image", "inspect", "-f", "{{.Id}}", name).strip() == image
        assert docker("run", "--rm", "--network", "none", name) == SAYS
        docker("tag", name, f"{registry.host}/clients/by-docker:1")
        docker("push", f"{registry.host}/clients/by-docker:1")
    other = elsewhere(lamina, tmp_path)
    other.run("pull", "-q", f"{registry.host}/clients/by-docker:1").ok()
    child = project(tmp_path / "child", f"FROM {registry.host}/clients/by-docker:1\nRUN cat /app/made > /again\n")
    other.build(child, "-t", f"{registry.host}/clients/child:1", "--push").ok()
    tool("skopeo", "copy", "--src-tls-verify=false", f"docker://{registry.host}/clients/child:1", f"dir:{tmp_path}/dir")


@contextmanager
def docker_at(folder: Path) -> Iterator[Docker]:
    (folder / "docker").mkdir()
    with running_docker(folder / "docker") as client:
        yield client


def uploads(proxy: FaultProxy) -> list[str]:
    """The requests that carried a blob's bytes."""
    return [path for method, path, _ in proxy.seen if method in ("PUT", "PATCH") and "/blobs/uploads/" in path]


def test_nothing_is_sent_or_compressed_twice(
    registry: RegistryServer, lamina: Command, context: Path, tmp_path: Path
) -> None:
    with FaultProxy(registry.host) as proxy:
        name = f"{proxy.host}/once/app"
        lamina.build(context, "-t", f"{name}:1", "--push").ok()
        assert len(uploads(proxy)) == 5  # four layers and the configuration
        blobs = blob_files(lamina)
        proxy.plan()
        again = lamina.run("push", f"{name}:1").ok()
        assert "is there already" in again.err
        assert [method for method, _, _ in proxy.seen] == ["HEAD"]
        proxy.plan()
        (context / "Dockerfile").write_text(TEXT + "LABEL second=1\n")
        lamina.build(context, "-t", f"{name}:2", "--push").ok()
        assert len(uploads(proxy)) == 1  # the configuration
        proxy.plan()
        # Another repository of the same registry takes over what it can.
        pushed = lamina.build(context, "-t", f"{proxy.host}/twice/app:1", "--push").ok()
        assert uploads(proxy) == []
        notes = [event["text"] for event in pushed.events if event["event"] == "note"]
        assert any("5 taken over from another repository" in note for note in notes), notes
        # All that is new: two configurations and three manifests.
        assert len(blob_files(lamina) - blobs) <= 4
        # What was seen is a memory and no more.
        subprocess.run(["rm", "-r", lamina.root / "seen"], check=True)
        lamina.build(context, "-t", f"{proxy.host}/thrice/app:1", "--push").ok()
    lamina.verify()


def blob_files(lamina: Command) -> set[str]:
    return {path.name for path in (lamina.root / "blobs/sha256").iterdir()}


def test_a_base_is_pushed_with_its_own_bytes_and_need_not_be_fetched(
    registry: RegistryServer, lamina: Command, context: Path, tmp_path: Path
) -> None:
    with FaultProxy(registry.host) as proxy:
        lamina.build(context, "-t", f"{proxy.host}/lazy/base:1", "--push").ok()
        base = raw(registry, "lazy/base:1")
        other = elsewhere(lamina, tmp_path)
        child = project(tmp_path / "child", f'FROM {proxy.host}/lazy/base:1\nCMD ["cat", "made"]\n')
        proxy.plan()
        other.build(child, "-t", f"{proxy.host}/lazy/child:1", "-t", f"{proxy.host}/lazy/child:2", "--push").ok()
        fetched = [path for method, path, _ in proxy.seen if method == "GET" and "/blobs/" in path]
        assert fetched == [f"/v2/lazy/base/blobs/{base['config']['digest']}"]
        assert len(uploads(proxy)) == 1
        assert raw(registry, "lazy/child:2")["layers"] == base["layers"]


def test_a_base_that_was_left_in_its_registry_is_fetched_for_an_archive(
    registry: RegistryServer, lamina: Command, context: Path, tmp_path: Path
) -> None:
    lamina.build(context, "-t", f"{registry.host}/left/base:1", "--push").ok()
    other = elsewhere(lamina, tmp_path)
    child = project(tmp_path / "child", f'FROM {registry.host}/left/base:1\nCMD ["cat", "made"]\n')
    other.build(child, "-t", "child", "-o", f"type=oci,dest={tmp_path / 'child.tar'}").ok()
    third = Command(tmp_path / "third", env=lamina.env)
    third.run("load", "-i", tmp_path / "child.tar").ok()
    assert third.run("run", "child").ok().out == "made\n"
    with running_registry(tmp_path / "second") as second:
        other.build(child, "-t", f"{second.host}/moved:1", "--push").ok()
        assert raw(second, "moved:1")["layers"] == raw(registry, "left/base:1")["layers"]


def test_several_outputs_at_once_with_their_options(
    registry: RegistryServer, lamina: Command, context: Path, tmp_path: Path
) -> None:
    host, facts = registry.host, tmp_path / "facts.json"
    outputs = (
        f"type=registry,name={host}/many/zstd:1,compression=zstd,compression-level=5,force-compression=true",
        f"type=image,name={host}/many/docker:1,push=true,oci-mediatypes=false",
        f'type=image,"name={host}/many/noted:1,{host}/many/noted:2",push=true,annotation.by=lamina,"annotation.list=a,b"',
        f"type=oci,dest={tmp_path / 'x.tar'},compression=uncompressed,force-compression=true",
        f"type=image,name={host}/many/plain:1",
    )
    flags = [word for output in outputs for word in ("-o", output)]
    done = lamina.build(context, *flags, "-t", "local", "--metadata-file", facts)
    image = done.image
    zstd, docker, noted = (raw(registry, f"many/{name}:1") for name in ("zstd", "docker", "noted"))
    assert {layer["mediaType"] for layer in zstd["layers"]} == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    assert docker["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert noted["annotations"] == {"by": "lamina", "list": "a,b"}
    assert raw(registry, "many/noted:2") == noted
    assert {one["config"]["digest"] for one in (zstd, docker, noted)} == {image}
    archived = json.loads(tool("skopeo", "inspect", "--raw", f"oci-archive:{tmp_path / 'x.tar'}"))
    assert {layer["mediaType"] for layer in archived["layers"]} == {"application/vnd.oci.image.layer.v1.tar"}
    assert "many/plain" in lamina.run("images").out
    assert json.loads(facts.read_text())["containerimage.digest"].startswith("sha256:")
    for name in ("zstd", "docker", "noted"):
        other = Command(tmp_path / f"other-{name}", env=lamina.env)
        other.run("pull", "-q", f"{host}/many/{name}:1").ok()
        assert other.run("run", f"{host}/many/{name}:1").ok().out == SAYS
    missing = lamina.run("pull", f"{host}/many/plain:1")
    assert missing.code == 6
    lamina.verify()


def test_several_platforms_become_an_index(
    registry: RegistryServer, lamina: Command, busybox_tar: Path, tmp_path: Path
) -> None:
    lamina.run("import", busybox_tar, "busybox", "--platform", "linux/arm64", "--env", "PATH=/bin").ok()
    name = f"{registry.host}/multi/app:1"
    context = project(tmp_path / "p", "FROM busybox\nARG TARGETARCH\nLABEL arch=$TARGETARCH\n")
    lamina.build(context, "--platform", "linux/amd64,linux/arm64", "-t", name, "--push").ok()
    index = raw(registry, "multi/app:1")
    assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
    digest = lamina.run("push", "-q", name).ok().out.strip()
    other = elsewhere(lamina, tmp_path)
    for architecture in ("amd64", "arm64"):
        other.run("pull", "-q", "--platform", f"linux/{architecture}", f"{registry.host}/multi/app@{digest}").ok()
        shown = tool(
            *("skopeo", "--override-arch", architecture, "inspect", "--tls-verify=false", "--config"),
            f"docker://{name}",
        )
        assert json.loads(shown)["config"]["Labels"] == {"arch": architecture}
    one = f"{registry.host}/multi/one:1"
    lamina.run("tag", name, one).ok()
    lamina.run("push", "--platform", "linux/arm64", one).ok()
    assert raw(registry, "multi/one:1")["config"]["digest"] == digest_of_config(lamina, name, "linux/arm64")


def digest_of_config(lamina: Command, name: str, platform: str) -> str:
    (found,) = json.loads(lamina.run("inspect", "--platform", platform, name).ok().out)
    value: str = found.get("Id") or found.get("id") or ""
    return value


def test_all_tags_of_a_name(registry: RegistryServer, lamina: Command, context: Path) -> None:
    name = f"{registry.host}/tags/app"
    lamina.build(context, "-t", f"{name}:a", "-t", f"{name}:b", "-t", "other").ok()
    said = lamina.run("push", "--all-tags", name).ok().out.splitlines()
    assert [line.split()[0] for line in said] == [f"{name}:a", f"{name}:b"]
    listed = json.loads(tool("skopeo", "list-tags", "--tls-verify=false", f"docker://{name}"))["Tags"]
    assert sorted(listed) == ["a", "b"]


def test_by_digest_alone(registry: RegistryServer, lamina: Command, context: Path, tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    output = f"type=image,name={registry.host}/untagged/app,push-by-digest=true,name-canonical=true,push=true"
    lamina.build(context, "-o", output, "--metadata-file", facts).ok()
    digest = json.loads(facts.read_text())["containerimage.digest"]
    other = elsewhere(lamina, tmp_path)
    other.run("pull", "-q", f"{registry.host}/untagged/app@{digest}").ok()
    assert lamina.run("pull", f"{registry.host}/untagged/app:latest").code == 6


@pytest.mark.parametrize(
    ("words", "reference"),
    [
        (("push", "nosuch"), "store-image-missing"),
        (("push", "Upper/Case"), "usage-image-name"),
        (("push", "--all-tags", "busybox:latest"), "usage-bad-arguments"),
        (("push", "busybox@sha256:" + "0" * 64), "usage-bad-arguments"),
        (("push", "--platform", "linux/s390x", "busybox"), "store-image-missing"),
        (("push", "--compression", "rar", "busybox"), "usage-bad-arguments"),
        (("login", "127.0.0.1:1"), "usage-bad-arguments"),
        (("login", "-u", "ann", "-p", PASSWORD, "127.0.0.1:1"), "registry-unreachable"),
        (("login", "-u", "ann", "-p", PASSWORD, "not a host"), "usage-bad-arguments"),
        (("login", "--password-stdin", "127.0.0.1:1"), "usage-bad-arguments"),
    ],
)
def test_what_cannot_be(lamina: Command, words: tuple[str, ...], reference: str) -> None:
    done = lamina.run(*words)
    assert f"[{reference}]" in done.err
    assert done.code != 0
    assert "Traceback" not in done.err
    assert PASSWORD not in done.err + done.out


def test_an_output_without_a_name_fails_before_anything_is_built(lamina: Command, context: Path) -> None:
    done = lamina.build(context, "--push")
    assert done.code == 2
    assert "[usage-output]" in done.err
    assert "RUN" not in done.err


# --- logging in ------------------------------------------------------------------------------------------------------
@contextmanager
def guarded(folder: Path, kind: str, lamina: Command) -> Iterator[RegistryServer]:
    """A registry that asks for a password, over http or https, itself or through a token server."""
    if kind == "token":
        with (
            running_token_server(folder / "tokens", USERS) as tokens,
            running_registry(folder / "server", token_realm=tokens.realm) as server,
        ):
            yield server
        return
    with running_registry(folder / "server", users=USERS, tls=kind == "https") as server:
        if server.ca is not None:
            settings = Path(lamina.env["HOME"]) / ".config/lamina/config.toml"
            settings.parent.mkdir(parents=True)
            settings.write_text(f'[registry."{server.host}"]\nca = "{server.ca}"\n')
        yield server


def login(lamina: Command, host: str, password: str = PASSWORD) -> Completed:
    return lamina.run("login", "-u", "ann", "--password-stdin", host, stdin=password.encode() + b"\n")


@pytest.mark.parametrize("kind", ["http", "https", "token"])
def test_login_push_pull_logout(lamina: Command, context: Path, tmp_path: Path, kind: str) -> None:
    config = Path(lamina.env["HOME"]) / ".docker/config.json"
    with guarded(tmp_path / "guarded", kind, lamina) as server:
        name = f"{server.host}/private/app:1"
        lamina.build(context, "-t", name).ok()
        before = lamina.run("push", name)
        assert (before.code, "[registry-unauthorized]" in before.err) == (6, True)
        wrong = login(lamina, server.host, "wrong-secret")
        assert (wrong.code, "[registry-unauthorized]" in wrong.err) == (6, True)
        assert "wrong-secret" not in wrong.err + wrong.out
        assert not config.exists()
        done = login(lamina, server.host).ok()
        assert "Login Succeeded" in done.out
        assert PASSWORD not in done.out + done.err
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        lamina.run("push", name).ok()
        other = elsewhere(lamina, tmp_path)
        other.run("pull", "-q", name).ok()
        assert other.run("run", name).ok().out == SAYS
        # The login is one that others understand, and theirs are understood.
        (tmp_path / "certs").mkdir()
        verify = ("--tls-verify=false",) if server.ca is None else ("--cert-dir", str(tmp_path / "certs"))
        if server.ca is not None:
            (tmp_path / "certs/ca.crt").write_bytes(server.ca.read_bytes())
        tool("skopeo", "inspect", *verify, "--authfile", config, f"docker://{name}")
        assert "Removed" in lamina.run("logout", server.host).ok().out
        assert json.loads(config.read_text())["auths"] == {}
        assert lamina.run("pull", name).code == 6
        assert "Not logged in" in lamina.run("logout", server.host).ok().out
        auth = Path(lamina.env["HOME"]) / ".config/containers/auth.json"
        auth.parent.mkdir(parents=True, exist_ok=True)
        words = ("skopeo", "login", "-u", "ann", "--password-stdin", *verify, "--authfile", auth, server.host)
        subprocess.run(list(map(str, words)), input=PASSWORD.encode(), check=True, capture_output=True)
        lamina.run("pull", name).ok()


def test_a_helper_keeps_the_password(lamina: Command, context: Path, tmp_path: Path) -> None:
    """A real program that speaks the protocol, with the password on its standard input alone."""
    programs, vault = tmp_path / "bin", tmp_path / "vault"
    programs.mkdir()
    script = programs / "docker-credential-vault"
    script.write_text(
        f"""#!/bin/sh
echo "$@" >> {vault}.calls
case $1 in
store) cat > {vault};;
get) cat > /dev/null; test -f {vault} && cat {vault} || {{ echo credentials not found in native keychain; exit 1; }};;
erase) cat > /dev/null; rm -f {vault};;
esac
"""
    )
    script.chmod(0o755)
    config = Path(lamina.env["HOME"]) / ".docker/config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"detachKeys": "ctrl-x", "credsStore": "vault", "HttpHeaders": {"a": "b"}}))
    user = Command(lamina.root, env={**lamina.env, "PATH": f"{programs}:{os.environ['PATH']}"})
    with running_registry(tmp_path / "server", users=USERS) as server:
        login(user, server.host).ok()
        assert json.loads(vault.read_text()) == {"ServerURL": server.host, "Username": "ann", "Secret": PASSWORD}
        kept = json.loads(config.read_text())
        assert kept == {
            "detachKeys": "ctrl-x",
            "credsStore": "vault",
            "HttpHeaders": {"a": "b"},
            "auths": {server.host: {}},
        }
        user.build(context, "-t", f"{server.host}/private/app:1", "--push").ok()
        user.run("logout", server.host).ok()
        assert not vault.exists()
        assert user.run("pull", f"{server.host}/private/app:1").code == 6
    calls = Path(f"{vault}.calls").read_text()
    assert set(calls.split()) == {"store", "get", "erase"}


def test_a_base_is_pulled_through_a_mirror_and_a_proxy(
    registry: RegistryServer, lamina: Command, context: Path, tmp_path: Path
) -> None:
    lamina.build(context, "-t", f"{registry.host}/mirrored/app:1", "--push").ok()
    settings = Path(lamina.env["HOME"]) / ".config/lamina/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'[registry."registry.invalid"]\nmirrors = ["http://{registry.host}"]\n')
    other = elsewhere(lamina, tmp_path)
    child = project(tmp_path / "child", "FROM registry.invalid/mirrored/app:1\nRUN cat /app/made\n")
    assert other.build(child).output == "made\n"
    # A name that only the proxy can reach.
    settings.write_text('[registry."registry.invalid"]\ninsecure = true\n')
    with FaultProxy(registry.host) as proxy:
        way = {"http_proxy": f"http://user:pw@{proxy.host}", "https_proxy": "", "no_proxy": "example.com"}
        third = Command(tmp_path / "third", env={**lamina.env, **way})
        third.run("pull", "-q", "registry.invalid/mirrored/app:1").ok()
        third.run("tag", "registry.invalid/mirrored/app:1", "registry.invalid/mirrored/again:1").ok()
        third.run("push", "registry.invalid/mirrored/again:1").ok()
        assert {headers["Proxy-Authorization"] for _, _, headers in proxy.seen} == {"Basic dXNlcjpwdw=="}
    assert raw(registry, "mirrored/again:1") == raw(registry, "mirrored/app:1")


# --- trouble ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut-upload", "/blobs/uploads/", "PUT", after=200),
        Fault("corrupt-upload", "/blobs/uploads/", "PUT", after=20),
        Fault("status", "/blobs/uploads/", "POST", times=2, status=503),
        Fault("status", "/blobs/uploads/", "PUT", status=429, header={"Retry-After": "0"}),
        Fault("status", "/blobs/uploads/", "PUT", status=413),
        Fault("refuse", "/blobs/", "HEAD"),
        Fault("status", "/blobs/", "HEAD", times=5, status=200),
        Fault("lost-answer", "/blobs/uploads/", "PUT"),
        Fault("status", "/manifests/", "PUT", status=502),
        Fault("lost-answer", "/manifests/", "PUT"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.method}-{fault.status}",
)
def test_what_passes_is_got_over(
    registry: RegistryServer, lamina: Command, context: Path, tmp_path: Path, fault: Fault
) -> None:
    name = f"trouble-{fault.kind}-{fault.method}-{fault.status}".lower()
    with FaultProxy(registry.host) as proxy:
        lamina.build(context, "-t", f"{proxy.host}/{name}/app:1").ok()
        proxy.plan(fault)
        lamina.run("push", f"{proxy.host}/{name}/app:1").ok()
        assert fault.times == 0
    tool("skopeo", "copy", "--src-tls-verify=false", f"docker://{registry.host}/{name}/app:1", f"dir:{tmp_path}/dir")
    lamina.verify()


@pytest.mark.parametrize(
    ("fault", "reference"),
    [
        (Fault("status", "/blobs/uploads/", "POST", times=99, status=403), "registry-denied"),
        (Fault("status", "/blobs/uploads/", "PUT", times=99, status=507), "registry-bad-response"),
        (Fault("status", "", "HEAD", times=99, status=404), ""),
        (Fault("digest", "/blobs/uploads/", "PUT", times=99), "registry-wrong-digest"),
        (Fault("digest", "/manifests/", "PUT", times=99), "registry-wrong-digest"),
        (
            Fault("status", "/blobs/uploads/", "PUT", times=99, status=429, header={"Retry-After": "9999"}),
            "registry-too-many-requests",
        ),
        (Fault("status", "/manifests/", "PUT", times=99, status=400), "registry-bad-response"),
        (Fault("status", "", times=99, status=401), "registry-unauthorized"),
    ],
    ids=lambda value: f"{value.kind}-{value.method}-{value.status}" if isinstance(value, Fault) else value,
)
def test_what_does_not_pass_is_named_and_leaves_no_tag(
    registry: RegistryServer, lamina: Command, context: Path, fault: Fault, reference: str
) -> None:
    name = f"refused-{fault.kind}-{fault.method}-{fault.status}".lower().replace("--", "-")
    with FaultProxy(registry.host) as proxy:
        lamina.build(context, "-t", f"{proxy.host}/{name}/app:1").ok()
        proxy.plan(fault)
        done = lamina.run("push", f"{proxy.host}/{name}/app:1")
    if not reference:
        done.ok()
        return
    assert f"[{reference}]" in done.err
    assert done.code == 6
    assert "Traceback" not in done.err
    if fault.path != "/manifests/" or fault.kind != "digest":
        assert lamina.run("pull", f"{registry.host}/{name}/app:1").code == 6
    lamina.verify()


def test_an_interrupt_ends_a_push_at_once_and_the_next_one_succeeds(
    registry: RegistryServer, lamina: Command, tmp_path: Path
) -> None:
    context = project(tmp_path / "p", "FROM busybox\nCOPY random /\n")
    (context / "random").write_bytes(os.urandom(3 << 20))
    with FaultProxy(registry.host) as proxy:
        name = f"{proxy.host}/interrupted/app:1"
        lamina.build(context, "-t", name).ok()
        proxy.plan(Fault("delay", "/blobs/uploads/", "POST", times=9, seconds=3))
        process = lamina.start("push", name)
        while not any(method == "POST" for method, _, _ in proxy.seen):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130, err
        assert b"Traceback" not in err
        proxy.plan()
        lamina.run("push", name).ok()
    lamina.verify()


def test_two_pushes_at_once(registry: RegistryServer, lamina: Command, context: Path) -> None:
    name = f"{registry.host}/together/app:1"
    lamina.build(context, "-t", name).ok()
    running = [lamina.start("push", "-q", name) for _ in range(3)]
    said = {process.communicate(timeout=PATIENCE)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(said) == 1
    lamina.verify()


def test_an_image_on_a_base_that_was_never_fetched_runs_and_is_exported(
    lamina: Command, tmp_path: Path, registry: RegistryServer
) -> None:
    base = f"{registry.host}/bases/plain:1"
    lamina.run("tag", "busybox", base).ok()
    lamina.run("push", base).ok()
    other = elsewhere(lamina, tmp_path / "elsewhere")
    other.build(project(tmp_path / "thin", f'FROM {base}\nCMD ["echo", "it runs"]\n', {}), "-t", "thin").ok()
    target = tmp_path / "thin.tar"
    other.run("export", "thin", "-o", target).ok()
    with tarfile.open(target) as archive:
        assert "bin/busybox" in {name.removeprefix("./") for name in archive.getnames()}
    assert other.run("run", "--rm", "thin").ok().out == "it runs\n"
