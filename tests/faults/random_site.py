"""What rounds of random faults start from, made once: a registry behind a proxy, stores, archives, caches, and what is
right for each."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.bucket_server import BucketServer, running_bucket
from tests.support.command import Command, Completed, project
from tests.support.fault_proxy import FaultProxy
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.waiting import copied, removed

import lamina

HASTY = Path(__file__).parents[1] / "support" / "hasty.py"
ACCEPT = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in ("oci.image.manifest.v1", "oci.image.index.v1", "docker.distribution.manifest.v2")
)
DOCKERFILE = "FROM busybox\nCOPY noise /noise\nCOPY src /app\nRUN cat /app/a /app/b > /out\n"
#: The time in images, so that what is built again is the same.
EPOCH = "1700000000"


class Hasty(Command):
    """As `Command`, with less patience."""

    def line(self, *words: str | Path) -> list[str]:
        return [*self.prefix, sys.executable, str(HASTY), *map(str, words)]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        paths = os.pathsep.join((str(Path(lamina.__file__).parents[1]), str(HASTY.parents[2])))
        return super().environment({"PYTHONPATH": paths, "SOURCE_DATE_EPOCH": EPOCH, **(more or {})})


@dataclass(frozen=True)
class Site:
    """`plain` is a store with busybox alone, `built` one with the image `app` of ID `image`, manifest `manifest`.
    `bucket` is a bucket, `bucket_proxy` what stands before it. `files` is the digest of the image's files as one tar;
    `saved` and `layout` are archives of it; `imported` is the ID of what the tar `root` is imported as. `cache` is a
    directory with the shared cache of all its steps."""

    folder: Path
    server: RegistryServer
    proxy: FaultProxy
    bucket: BucketServer
    bucket_proxy: FaultProxy
    context: Path
    plain: Path
    built: Path
    image: str
    manifest: str
    files: str
    saved: Path
    layout: Path
    root: Path
    imported: str
    cache: Path

    def machine(self, root: Path, start: Path) -> Hasty:
        """A machine whose store begins as a copy of `start`."""
        return Hasty(copied(start, root), env={"HOME": str(self.folder)})


@contextmanager
def made(folder: Path, busybox: Path) -> Iterator[Site]:
    """A site below `folder`, where `busybox` is the tar of a root file system."""
    context = project(folder / "context", DOCKERFILE, {"src/a": "1\n", "src/b": "2\n"})
    (context / "noise").write_bytes(random.Random(5).randbytes(400_000))
    with (
        running_registry(folder / "registry") as server,
        FaultProxy(server.host) as proxy,
        running_bucket() as bucket,
        FaultProxy(bucket.url.removeprefix("http://")) as bucket_proxy,
    ):
        env = {"HOME": str(folder)}
        plain = Hasty(folder / "plain", env=env)
        imported = plain.run("import", busybox, "busybox", "--env", "PATH=/bin").ok().out.strip()
        built = Hasty(copied(plain.root, folder / "built"), env=env)
        image = build(built, context, "-t", "app").ok().image
        other = Hasty(copied(built.root, folder / "other"), env=env)
        name = f"{server.host}/images/app:1"
        other.run("tag", "app", name).ok()
        manifest = other.run("push", "-q", name).ok().out.strip()
        build(other, context, "--no-cache", "--cache-to", f"type=local,dest={folder}/cache").ok()
        cached = f"type=registry,ref={server.host}/images/cache"
        build(other, context, "--no-cache", "--cache-to", cached).ok()
        other.run("rmi", name).ok()
        for form in ("docker", "oci"):
            other.run("save", "app", "--format", form, "-o", folder / f"{form}.tar").ok()
        other.run("export", "app", "-o", folder / "files.tar").ok()
        yield Site(
            folder,
            server,
            proxy,
            bucket,
            bucket_proxy,
            context,
            plain.root,
            built.root,
            image,
            manifest,
            digest(folder / "files.tar"),
            folder / "docker.tar",
            folder / "oci.tar",
            busybox,
            imported,
            folder / "cache",
        )


def build(machine: Command, context: Path, *flags: str | Path) -> Completed:
    return machine.build(context, "--reproducible", *flags)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def get(server: RegistryServer, path: str) -> bytes | None:
    """What the registry itself answers, None for 404."""
    request = urllib.request.Request(f"{server.url}/v2/{path}", headers={"Accept": ACCEPT})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def tags(server: RegistryServer, repository: str) -> list[str]:
    found = get(server, f"{repository}/tags/list")
    return list(json.loads(found)["tags"] or ()) if found else []


def tagged(server: RegistryServer, repository: str) -> str | None:
    """The digest of what the tag `1` names."""
    raw = get(server, f"{repository}/manifests/1")
    return None if raw is None else "sha256:" + hashlib.sha256(raw).hexdigest()


def unsound(server: RegistryServer, repository: str) -> Iterator[str]:
    """What is wrong in a repository: every blob of every tag is there and what its digest says."""
    for tag in tags(server, repository):
        raw = get(server, f"{repository}/manifests/{tag}")
        if raw is None:
            yield f"{repository}:{tag} has no manifest"
            continue
        manifest = json.loads(raw)
        for blob in (manifest["config"], *manifest["layers"]):
            data = get(server, f"{repository}/blobs/{blob['digest']}")
            if data is None or len(data) != blob["size"]:
                yield f"{repository}:{tag}: blob {blob['digest']} is not there"
            elif "sha256:" + hashlib.sha256(data).hexdigest() != blob["digest"]:
                yield f"{repository}:{tag}: blob {blob['digest']} has other bytes"


def wrong_files(server: RegistryServer) -> list[str]:
    """The blobs on the registry's own disk that are not what their names say."""
    store = server.data / "docker/registry/v2/blobs/sha256"
    return [path.parent.name for path in store.glob("*/*/data") if digest(path) != f"sha256:{path.parent.name}"]


def cleared(folder: Path) -> None:
    """Delete; a process that syncs a store may still write there."""
    removed(folder)
