"""`--provenance`: how an image was built, said beside it; other clients take the image all the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import Command, project
from tests.support.registry_server import RegistryServer, running_registry

TEXT = """FROM busybox
ARG SECRETLY=no
COPY data /data
RUN --mount=type=secret,id=token cat /data
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return project(tmp_path / "p", TEXT, {"data": "data\n"})


def tool(*words: str | Path) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def blob(layout: Path, digest: str) -> Any:
    return json.loads((layout / "blobs" / digest.replace(":", "/")).read_bytes())


def statements(layout: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each image's entry in the index of a layout's only image, and the statement about it."""
    (entry,) = blob_index(layout)["manifests"]
    index = blob(layout, entry["digest"])["manifests"]
    images = [one for one in index if one["platform"]["os"] == "linux"]
    found = []
    for image in images:
        (about,) = [
            one for one in index if one.get("annotations", {}).get("vnd.docker.reference.digest") == image["digest"]
        ]
        assert about["platform"] == {"os": "unknown", "architecture": "unknown"}
        (layer,) = blob(layout, about["digest"])["layers"]
        found.append((image, blob(layout, layer["digest"])))
    assert len(index) == 2 * len(images)
    return found


def blob_index(layout: Path) -> Any:
    return json.loads((layout / "index.json").read_bytes())


def test_the_statement(lamina: Command, context: Path, tmp_path: Path) -> None:
    layout = tmp_path / "o"
    words = ("-t", "ex.test/app:1", "--build-arg", "SECRETLY=yes", "-o", f"type=oci,dest={layout},tar=false")
    lamina.build(context, *words, "--provenance=true").ok()
    ((image, said),) = statements(layout)
    assert said["subject"] == [
        {
            "name": "pkg:docker/ex.test/app@1?platform=linux%2Famd64",
            "digest": {"sha256": image["digest"].removeprefix("sha256:")},
        }
    ]
    definition = said["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["configSource"] == {"path": "Dockerfile"}
    (base,) = definition["resolvedDependencies"]
    assert base["uri"] == "pkg:docker/busybox@latest?platform=linux%2Famd64"
    assert "yes" not in json.dumps(said)
    assert statements_of_another_machine(lamina, context, tmp_path, words) == [(image, said)]


def statements_of_another_machine(
    lamina: Command, context: Path, tmp_path: Path, words: tuple[str, ...]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Nothing in a statement is of one run: a build with all in the cache says the same."""
    lamina.build(context, *words, "--attest", "type=provenance").ok()
    return statements(tmp_path / "o")


def test_all_that_is_known(lamina: Command, context: Path, tmp_path: Path) -> None:
    layout, token = tmp_path / "o", tmp_path / "token"
    token.write_text("s3cr3t")
    words = ("--build-arg", "SECRETLY=yes", "--secret", f"id=token,src={token}", "--provenance=mode=max")
    both = ("--platform", "linux/amd64", "-o", f"type=oci,dest={layout},tar=false")
    lamina.build(context, *words, *both).ok()
    ((_, said),) = statements(layout)
    assert said["predicate"]["buildDefinition"]["externalParameters"]["request"]["args"] == {
        "build-arg:SECRETLY": "yes"
    }
    assert said["predicate"]["runDetails"]["metadata"]["lamina_source"]["text"] == TEXT
    assert "s3cr3t" not in json.dumps(said)


def test_several_platforms(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM scratch\nARG TARGETARCH\nLABEL a=$TARGETARCH\n")
    layout = tmp_path / "o"
    output = f"type=oci,dest={layout},tar=false"
    lamina.build(folder, "--platform=linux/amd64,linux/arm64", "-t", "x", "--provenance=true", "-o", output).ok()
    found = [(image["platform"]["architecture"], said["subject"][0]["name"]) for image, said in statements(layout)]
    assert found == [
        ("amd64", "pkg:docker/x@latest?platform=linux%2Famd64"),
        ("arm64", "pkg:docker/x@latest?platform=linux%2Farm64"),
    ]


def test_pushed_pulled_and_loaded(registry: RegistryServer, lamina: Command, context: Path, tmp_path: Path) -> None:
    name = f"{registry.host}/said:1"
    archive = tmp_path / "o.tar"
    words = ("-t", name, "--push", "--provenance=true", "-o", f"type=oci,dest={archive}")
    image = lamina.build(context, *words).image
    copied = tmp_path / "copied"
    tool("skopeo", "copy", "--all", "--src-tls-verify=false", f"docker://{name}", f"oci:{copied}")
    (entry,) = blob_index(copied)["manifests"]
    assert len(blob(copied, entry["digest"])["manifests"]) == 2
    for number, get in enumerate((("pull", name), ("load", "-i", str(archive)))):
        other = Command(tmp_path / f"other{number}", env=lamina.env)
        other.run(*get).ok()
        assert other.run("images", "-q", "--no-trunc").out.split() == [image]
        assert other.run("run", name, "cat", "/data").out == "data\n"
    # Pushed again it is there already, and the store has no image that is none.
    assert "is there already" in lamina.run("build", context, *words).ok().err
    assert len(lamina.run("images", "-q").out.split()) == 2
    lamina.verify()


@pytest.mark.parametrize(
    "words",
    [
        ("--provenance=false", "--sbom=false"),
        ("--attest", "type=provenance,disabled=true", "--attest=type=sbom,disabled=true"),
    ],
)
def test_switched_off(lamina: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    folder = project(tmp_path / "p", "FROM scratch\nLABEL a=b\n")
    lamina.build(folder, *words, "-o", f"type=oci,dest={tmp_path / 'o'},tar=false").ok()
    (entry,) = blob_index(tmp_path / "o")["manifests"]
    assert entry["mediaType"] == "application/vnd.oci.image.manifest.v1+json"


def test_what_is_refused(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM scratch\nLABEL a=b\n")
    for words, reference in (
        (("--provenance=true",), "usage-attest"),
        (("--provenance=true", "-o", str(tmp_path / "files")), "usage-attest"),
        (("--sbom=true",), "usage-not-there"),
    ):
        done = lamina.run("build", folder, *words)
        assert (done.code, reference in done.err) == (2, True)
