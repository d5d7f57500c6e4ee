"""`ports.Registry` and the pushing half against a real docker-registry: plain, with passwords, TLS, or tokens."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.oci_layouts import MadeImage, make_layout
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.token_server import TokenServer, running_token_server

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of
from lamina.oci import mediatypes
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest, encode_manifest
from lamina.oci.platform import Platform
from lamina.oci.reference import Reference, parse_reference
from lamina.ports.images import Registry
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import DockerCredentials
from lamina.registry.push import RegistryPusher
from lamina.registry.session import Session
from lamina.registry.settings import RegistrySettings

USERS = {"ann": "secret:with colon"}
BIG = bytes(range(256)) * 12_000  # 3 MB: several chunks


@dataclass(frozen=True)
class Setup:
    server: RegistryServer
    image: MadeImage
    config: Path
    settings: RegistrySettings
    tokens: TokenServer | None = None

    def session(self, config: Path | None = None, **changes: object) -> Session:
        settings = {**_fields(self.settings), **changes}
        return Session(RegistrySettings(**settings), DockerCredentials(config or self.config))  # type: ignore[arg-type]

    def name(self, rest: str) -> Reference:
        return parse_reference(f"{self.server.host}/{rest}")


def _fields(settings: RegistrySettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


@pytest.fixture(scope="module", params=["plain", "basic", "tls", "token"])
def setup(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("registry")
    image = make_layout(folder / "layout", [{"hello": b"hello\n"}, {"big": BIG, "more": b"m"}])
    variant = request.param
    config = folder / "config.json"
    if variant == "token":
        with (
            running_token_server(folder / "tokens", USERS) as tokens,
            running_registry(folder / "server", token_realm=tokens.realm) as server,
        ):
            yield _filled(Setup(server, image, config, _settings(server), tokens))
        return
    users = USERS if variant == "basic" else None
    with running_registry(folder / "server", users=users, tls=variant == "tls") as server:
        yield _filled(Setup(server, image, config, _settings(server)))


def _settings(server: RegistryServer) -> RegistrySettings:
    return RegistrySettings(
        secure=(server.host,) if server.ca else (),
        ca_bundle=str(server.ca) if server.ca else None,
        version="7.8",
        attempts=3,
        backoff_seconds=0.01,
        read_seconds=5,
    )


def _filled(setup: Setup) -> Setup:
    """Write the credentials, and let skopeo push the image as `public/app:1`."""
    auth = base64.b64encode(b"ann:secret:with colon").decode()
    setup.config.write_text(json.dumps({"auths": {setup.server.host: {"auth": auth}}}))
    trust = setup.config.parent / "certs"
    trust.mkdir()
    if setup.server.ca:
        (trust / "ca.crt").write_bytes(setup.server.ca.read_bytes())
    verify = "true" if setup.server.ca else "false"
    skopeo = ["skopeo", "copy", "--authfile", str(setup.config), "--dest-cert-dir", str(trust)]
    skopeo += [f"--dest-tls-verify={verify}", setup.image.skopeo_name, f"docker://{setup.server.host}/public/app:1"]
    subprocess.run(skopeo, check=True, capture_output=True)
    return setup


def opener(data: bytes) -> Callable[[], io.BytesIO]:
    return lambda: io.BytesIO(data)


def described(data: bytes, media_type: str = mediatypes.OCI_LAYER_GZIP) -> Descriptor:
    return Descriptor(media_type, digest_of(data), len(data))


def read(client: Registry, name: Reference, descriptor: Descriptor) -> bytes:
    with client.blob(name, descriptor) as chunks:
        return b"".join(chunks)


def test_pulls_what_another_tool_pushed(setup: Setup) -> None:
    client: Registry = RegistryClient(setup.session())
    name = setup.name("public/app:1")
    top = client.resolve(name)
    assert (top.digest, top.size, top.media_type) == (
        setup.image.digest,
        len(setup.image.manifest),
        mediatypes.OCI_MANIFEST,
    )
    manifest, raw = client.manifest(name)
    assert raw == setup.image.manifest
    assert isinstance(manifest, Manifest)
    assert [layer.digest for layer in manifest.layers] == list(setup.image.layers)
    for descriptor in (manifest.config, *manifest.layers):
        assert read(client, name, descriptor) == setup.image.blobs[descriptor.digest]


def test_a_digest_can_be_named_and_resolved(setup: Setup) -> None:
    client = RegistryClient(setup.session())
    name = setup.name(f"public/app@{setup.image.digest}")
    assert client.resolve(name).digest == setup.image.digest
    assert client.manifest(setup.name("public/app:1"), Digest(setup.image.digest))[1] == setup.image.manifest


def test_own_push_is_read_by_another_tool(setup: Setup, tmp_path: Path) -> None:
    session = setup.session()
    pusher, name = RegistryPusher(session), setup.name("own/pushed:2")
    heard: list[int] = []
    for digest, data in setup.image.blobs.items():
        if digest != setup.image.digest:
            assert not pusher.has_blob(name, Digest(digest))
            pusher.push_blob(name, described(data), opener(data), progress=heard.append)
            assert heard[-1] == len(data)
            assert pusher.has_blob(name, Digest(digest))
    assert pusher.push_manifest(name, setup.image.manifest, mediatypes.OCI_MANIFEST) == setup.image.digest
    trust = setup.config.parent / "certs"
    verify = "true" if setup.server.ca else "false"
    skopeo = ["skopeo", "copy", "--authfile", str(setup.config), "--src-cert-dir", str(trust)]
    skopeo += [f"--src-tls-verify={verify}", f"docker://{name}", f"oci:{tmp_path / 'copy'}:x"]
    subprocess.run(skopeo, check=True, capture_output=True)
    for digest, data in setup.image.blobs.items():
        assert (tmp_path / "copy/blobs/sha256" / digest.partition(":")[2]).read_bytes() == data
    assert pusher.tags(name) == ("2",)


def test_an_index_goes_there_and_back(setup: Setup) -> None:
    session = setup.session()
    name = setup.name("public/app:multi")
    entry = Descriptor(
        mediatypes.OCI_MANIFEST,
        Digest(setup.image.digest),
        len(setup.image.manifest),
        Platform("linux", "amd64"),
    )
    raw = encode_manifest(Index(2, (entry,)))
    RegistryPusher(session).push_manifest(name, raw, mediatypes.OCI_INDEX)
    index, found = RegistryClient(session).manifest(name)
    assert found == raw
    assert isinstance(index, Index)
    assert index.manifests == (entry,)


def test_a_manifest_without_a_tag_goes_under_its_digest(setup: Setup) -> None:
    session = setup.session()
    raw = setup.image.manifest + b"\n"
    name = setup.name(f"public/app@{digest_of(raw)}")
    RegistryPusher(session).push_manifest(name, raw, mediatypes.OCI_MANIFEST)
    assert RegistryClient(session).manifest(name)[1] == raw


def test_mounting_from_another_repository(setup: Setup) -> None:
    pusher, name = RegistryPusher(setup.session()), setup.name("mounted/app:1")
    layer = Digest(setup.image.layers[1])
    stored = described(setup.image.blobs[layer])

    def never() -> io.BytesIO:
        raise AssertionError("the bytes are there already")

    assert not pusher.push_blob(name, stored, never, mount_from="public/app")
    assert pusher.has_blob(name, layer)
    fresh = described(f"not in {setup.server.host}".encode())
    assert pusher.push_blob(name, fresh, opener(f"not in {setup.server.host}".encode()), mount_from="public/app")
    assert pusher.has_blob(name, fresh.digest)


def test_an_empty_blob(setup: Setup) -> None:
    session, name = setup.session(), setup.name("own/empty:1")
    RegistryPusher(session).push_blob(name, described(b""), opener(b""))
    assert read(RegistryClient(session), name, described(b"")) == b""


def test_chunks_are_small_and_the_last_comes_after_the_check(setup: Setup) -> None:
    session, name = setup.session(), setup.name("own/chunks:1")
    RegistryPusher(session).push_blob(name, described(BIG), opener(BIG))
    lied = Descriptor(mediatypes.OCI_LAYER, described(BIG).digest, len(BIG) - 1)
    with RegistryClient(session).blob(name, described(BIG)) as chunks:
        sizes = [len(chunk) for chunk in chunks]
    assert sum(sizes) == len(BIG)
    assert max(sizes) <= 1 << 20
    assert len(sizes) >= 3
    with pytest.raises(BuildFailure) as caught:
        read(RegistryClient(session), name, lied)
    assert caught.value.diagnostic.reference == "registry-oversized"


def test_a_size_that_is_too_large_is_truncation(setup: Setup) -> None:
    name = setup.name("public/app:1")
    data = setup.image.blobs[setup.image.layers[0]]
    lied = Descriptor(mediatypes.OCI_LAYER, Digest(setup.image.layers[0]), len(data) + 1)
    with pytest.raises(BuildFailure) as caught:
        read(RegistryClient(setup.session()), name, lied)
    assert caught.value.diagnostic.reference == "registry-truncated"
    assert str(len(data)) in (caught.value.diagnostic.cause or "")


def test_a_reader_may_leave_early(setup: Setup) -> None:
    client, name = RegistryClient(setup.session()), setup.name("public/app:1")
    descriptor = described(setup.image.blobs[setup.image.layers[1]])
    with client.blob(name, descriptor) as chunks:
        assert next(chunks)
    assert read(client, name, descriptor) == setup.image.blobs[descriptor.digest]


def test_unknown_tag_names_near_ones(setup: Setup) -> None:
    pusher = RegistryPusher(setup.session())
    for tag in ("3.11-slim", "3.12-slim"):
        pusher.push_manifest(setup.name(f"public/app:{tag}"), setup.image.manifest, mediatypes.OCI_MANIFEST)
    for ask in (RegistryClient(setup.session()).manifest, RegistryClient(setup.session()).resolve):
        with pytest.raises(BuildFailure) as caught:
            ask(setup.name("public/app:3.11-slm"))
        said = caught.value.diagnostic
        assert said.reference == "registry-not-found"
        assert f"{setup.server.host}/public/app:3.11-slm" in said.message
        assert "3.11-slim" in (said.hint or "")
        assert "MANIFEST_UNKNOWN" in (said.cause or "")


def test_unknown_repository_and_blob(setup: Setup) -> None:
    client = RegistryClient(setup.session())
    with pytest.raises(BuildFailure) as caught:
        client.manifest(setup.name("public/nosuch:1"))
    assert caught.value.diagnostic.reference == "registry-not-found"
    with pytest.raises(BuildFailure) as caught:
        read(client, setup.name("public/app:1"), described(b"nowhere"))
    assert caught.value.diagnostic.reference == "registry-not-found"
    assert "public/app" in caught.value.diagnostic.message


def test_a_wrong_digest_is_refused_on_push(setup: Setup) -> None:
    lied = Descriptor(mediatypes.OCI_LAYER, digest_of(b"other"), 4)
    with pytest.raises(BuildFailure) as caught:
        RegistryPusher(setup.session()).push_blob(setup.name("own/bad:1"), lied, opener(b"data"))
    assert caught.value.diagnostic.reference == "registry-wrong-digest"
    assert digest_of(b"data") in (caught.value.diagnostic.cause or "")


def test_tags_come_in_pages(setup: Setup) -> None:
    pusher = RegistryPusher(setup.session())
    wanted = {f"t{number}" for number in range(5)}
    for tag in sorted(wanted):
        pusher.push_manifest(setup.name(f"public/tags:{tag}"), encode_manifest(Index(2, ())), mediatypes.OCI_INDEX)
    assert set(pusher.tags(setup.name("public/tags:t0"))) == wanted


def refused(setup: Setup, config: dict[str, object], tmp_path: Path, repository: str = "public/app:1") -> BuildFailure:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    with pytest.raises(BuildFailure) as caught:
        RegistryPusher(setup.session(file)).push_blob(setup.name(repository), described(b"x"), opener(b"x"))
    return caught.value


def test_wrong_and_missing_credentials(setup: Setup, tmp_path: Path) -> None:
    if (
        not setup.tokens
        and "basic" not in setup.server.data.parts
        and not (setup.server.data.parent / "htpasswd").exists()
    ):
        # An open registry takes everything; what is left to see is that wrong credentials do no harm.
        file = tmp_path / "config.json"
        file.write_text(json.dumps({"auths": {setup.server.host: {"username": "ann", "password": "wrong"}}}))
        assert RegistryClient(setup.session(file)).resolve(setup.name("public/app:1"))
        return
    wrong = {"auths": {setup.server.host: {"username": "ann", "password": "top-wrong-secret"}}}
    configs: tuple[dict[str, object], ...] = ({**wrong}, {})
    for config in configs:
        failure = refused(setup, config, tmp_path)
        said = failure.diagnostic
        assert said.reference == "registry-unauthorized"
        assert f"lamina login {setup.server.host}" in (said.hint or "")
        assert "public/app" in said.message
        chain: BaseException | None = failure
        while chain is not None:
            assert "top-wrong-secret" not in repr(chain) + str(chain)
            chain = chain.__cause__ or chain.__context__
