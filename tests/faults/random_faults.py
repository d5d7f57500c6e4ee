"""Faults chosen at random: of the network, of files and caches, of the process and its disk."""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tests.faults.random_site import get, tags
from tests.support.fault_proxy import Fault, Kind
from tests.support.registry_server import RegistryServer

ALWAYS = 1000
PATHS = ("/manifests/", "/manifests/", "/blobs/sha256", "/blobs/", "/blobs/uploads", "/blobs/uploads", "", "", "/tags/")
BUCKET_PATHS = ("/entries/", "/entries/", "/entries/k-", "/blobs/", "/blobs/", "", "")
METHODS = ("", "", "", "GET", "PUT", "POST", "HEAD", "PATCH")
STATUSES = (400, 401, 403, 404, 405, 408, 413, 416, 418, 429, 500, 502, 503, 504, 507)
WAITS: tuple[dict[str, str], ...] = (
    {},
    {},
    {"Retry-After": "0"},
    {"Retry-After": "1"},
    {"Retry-After": "9999"},
    {"Retry-After": "soon"},
)
BODIES = (b"", b"<html>log in</html>", b'{"errors":[{"code":"DENIED","message":"no"}]}', b'{"errors":7}', b"[" * 9000)
PLACES = ("/v2/", "http://127.0.0.1:1/elsewhere", "ftp://x.example/", "http://[bad/", "//", "")
ODD: tuple[Kind, ...] = ("refuse", "digest", "ignore-range", "type")
BODY: tuple[Kind, ...] = ("cut", "end", "short", "long", "unannounced", "corrupt", "head")
UPLOAD: tuple[Kind, ...] = ("cut-upload", "cut-through", "corrupt-upload", "lost-answer")


def network_fault(chance: random.Random, paths: Sequence[str]) -> Fault:
    """One that passes or one that lasts, at the n-th request that it could meet, at some byte of it."""
    fault = Fault(
        "delay",
        chance.choice(paths),
        chance.choice(METHODS),
        times=chance.choice((1, 1, 1, 2, 5, ALWAYS)),
        after=chance.choice((0, 1, 30, chance.randrange(600), chance.randrange(60_000), chance.randrange(400_000))),
        skip=chance.choice((0, 0, 1, 2, chance.randrange(12))),
    )
    match chance.randrange(10):
        case 0 | 1:
            fault.kind, fault.status = "status", chance.choice(STATUSES)
            fault.header, fault.body = dict(chance.choice(WAITS)), chance.choice(BODIES)
        case 2 | 3 | 4:
            fault.kind = chance.choice(BODY)
        case 5 | 6:
            fault.kind = chance.choice(UPLOAD)
        case 7:
            fault.kind, fault.times, fault.seconds = "hang", min(fault.times, 2), 3.0
        case 8:
            fault.kind, fault.seconds = "delay", chance.choice((0.05, 0.3, 1.5))
            fault.times = 1 if fault.seconds > 1 else min(fault.times, 5)
        case 9:
            fault.kind = "redirect" if chance.random() < 0.4 else chance.choice(ODD)
            fault.location = chance.choice(PLACES)
    return fault


def damaged(content: bytes, chance: random.Random, *, flips: bool = True) -> tuple[bytes, str]:
    """These bytes damaged, and how they are."""
    data = bytearray(content)
    kind = chance.choice(("cut", "flipped", "swollen", "empty", "zeroed") if flips else ("cut", "empty"))
    place = chance.randrange(len(data)) if data else 0
    match kind:
        case "cut":
            del data[place:]
        case "flipped" if data:
            data[place] ^= 1 << chance.randrange(8)
        case "swollen":
            data[place:place] = chance.randbytes(chance.choice((1, 512, 5000)))
        case "empty":
            data.clear()
        case "zeroed":
            data[place : place + 512] = bytes(len(data[place : place + 512]))
    return bytes(data), f"{kind} at {place}"


def damage(path: Path, chance: random.Random, *, flips: bool = True) -> str:
    """Damage a file, and say how."""
    data, how = damaged(path.read_bytes(), chance, flips=flips)
    path.write_bytes(data)
    return f"{path.name[:16]} {how}"


def damage_folder(folder: Path, chance: random.Random) -> list[str]:
    """Damage, delete and exchange some files of a cache in a directory."""
    told = []
    for _ in range(chance.randrange(1, 5)):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        one, other = chance.choice(files), chance.choice(files)
        match chance.randrange(4):
            case 0 | 1:
                told.append(damage(one, chance))
            case 2:
                one.unlink()
                told.append(f"{one.name[:16]} deleted")
            case 3:
                one.write_bytes(other.read_bytes())
                told.append(f"{one.name[:16]} has what {other.name[:16]} had")
    return told


def tamper(server: RegistryServer, repository: str, chance: random.Random) -> list[str]:
    """Change entries of a cache in a registry, as somebody could who may push to it."""
    told = []
    for _ in range(chance.randrange(1, 4)):
        names = sorted(tags(server, repository))
        one, other = chance.choice(names), chance.choice(names)
        raw, source = get(server, f"{repository}/manifests/{one}"), get(server, f"{repository}/manifests/{other}")
        assert raw and source
        manifest, kind = json.loads(raw), chance.choice(("exchanged", "document", "layers", "bytes"))
        if kind == "exchanged":
            manifest = json.loads(source)
        elif kind == "layers":
            manifest["layers"] = json.loads(source)["layers"]
        else:
            key, text = next(iter(manifest["annotations"].items()))
            place = chance.randrange(len(text))
            changed = text[:place] + chance.choice("ABCDwxyz0189") + text[place + 1 :]
            manifest["annotations"][key] = changed if kind == "bytes" else text[:place]
        request = urllib.request.Request(
            f"{server.url}/v2/{repository}/manifests/{one}",
            json.dumps(manifest).encode(),
            {"Content-Type": "application/vnd.oci.image.manifest.v1+json"},
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=20).close()
        told.append(f"{one[:12]} {kind}")
    return told
