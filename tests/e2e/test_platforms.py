"""Builds for several platforms: one name for all their images, one index, a directory each; and which one is meant."""

from __future__ import annotations

import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import Command, project

HOST = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
FOREIGN = "s390x"
TEXT = "FROM scratch\nARG TARGETARCH\nCOPY ${TARGETARCH} /f\nCOPY common /d/common\n"
BOTH = ("--platform", f"linux/{FOREIGN},linux/{HOST}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return project(tmp_path / "p", TEXT, {HOST: "ours", FOREIGN: "theirs", "common": "same"})


def listed(lamina: Command, name: str) -> list[str]:
    """The platforms for which the store has an image of that name."""
    lines = (line.split() for line in lamina.run("images").ok().out.splitlines())
    return sorted(words[3] for words in lines if words[0] == name)


def inspected(lamina: Command, *words: str) -> dict[str, Any]:
    (found,) = json.loads(lamina.run("inspect", *words).ok().out)
    return found  # type: ignore[no-any-return]


def test_one_name_holds_all_and_means_ours(lamina: Command, folder: Path, tmp_path: Path) -> None:
    lamina.build(folder, *BOTH, "-t", "x", "--iidfile", tmp_path / "id").ok()
    assert listed(lamina, "x") == sorted([f"linux/{HOST}", f"linux/{FOREIGN}"])
    assert inspected(lamina, "x")["architecture"] == HOST
    assert inspected(lamina, "x")["Id"] == (tmp_path / "id").read_text()
    assert inspected(lamina, "--platform", f"linux/{FOREIGN}", "x")["architecture"] == FOREIGN
    assert f"ARG TARGETARCH={FOREIGN}" in lamina.run("history", "--platform", FOREIGN, "x").ok().out
    done = lamina.run("inspect", "--platform", "linux/riscv64", "x")
    assert done.code == 7 and "for linux/riscv64" in done.err


def test_each_platform_has_a_result(lamina: Command, folder: Path) -> None:
    done = lamina.build(folder, "--platform", f"linux/{HOST}", "--platform", f"linux/{FOREIGN}")
    results = [event for event in done.ok().events if event["event"] == "result"]
    assert len({result["image"] for result in results}) == 2
    quiet = lamina.run("build", "-q", *BOTH, folder).ok()
    assert (quiet.out.strip(), quiet.err) == (results[-1]["image"], "")


def test_a_name_is_of_its_last_build_alone(lamina: Command, folder: Path) -> None:
    lamina.build(folder, *BOTH, "-t", "x").ok()
    lamina.build(folder, "--platform", FOREIGN, "-t", "x").ok()
    assert listed(lamina, "x") == [f"linux/{FOREIGN}"]
    assert inspected(lamina, "x")["architecture"] == FOREIGN


def test_tagging_and_removing_reach_every_platform(lamina: Command, folder: Path) -> None:
    lamina.build(folder, *BOTH, "-t", "x").ok()
    lamina.run("tag", "x", "y").ok()
    assert listed(lamina, "y") == listed(lamina, "x")
    lamina.run("rmi", "x").ok()
    assert (listed(lamina, "x"), len(listed(lamina, "y"))) == ([], 2)
    assert lamina.run("rmi", "y").ok().out.count("Deleted: sha256:") == 2


def test_bases_of_other_platforms_stay(lamina: Command, folder: Path) -> None:
    """A name that FROM uses keeps what it holds, whatever is built upon it."""
    lamina.build(folder, *BOTH, "-t", "base").ok()
    child = project(folder / "child", "FROM base\nCOPY f /g\n", {"f": ""})
    for platform in (HOST, FOREIGN):
        lamina.build(child, "--platform", platform, "-t", f"child:{platform}").ok()
        assert inspected(lamina, f"child:{platform}")["architecture"] == platform
    assert len(listed(lamina, "base")) == 2


def test_an_index_has_its_platforms_in_the_order_asked_for(lamina: Command, folder: Path, tmp_path: Path) -> None:
    notes = ("--annotation", "a=1", "--annotation", "index:b=2", "--annotation", "manifest,index:c=3")
    facts = tmp_path / "facts.json"
    out = ("-o", f"type=oci,dest={tmp_path / 'oci'},tar=false", "--metadata-file", facts)
    lamina.build(folder, *BOTH, "-t", "x:2", *notes, *out).ok()
    layout = tmp_path / "oci"

    def blob(digest: str) -> dict[str, Any]:
        return json.loads((layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes())  # type: ignore[no-any-return]

    (root,) = json.loads((layout / "index.json").read_text())["manifests"]
    index = blob(root["digest"])
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == [FOREIGN, HOST]
    assert index["annotations"] == {"b": "2", "c": "3"}
    for entry in index["manifests"]:
        manifest = blob(entry["digest"])
        assert manifest["annotations"] == {"a": "1", "c": "3"}
        assert blob(manifest["config"]["digest"])["architecture"] == entry["platform"]["architecture"]
    told = json.loads(facts.read_text())
    assert told["containerimage.digest"] == root["digest"]
    assert told["image.name"] == "docker.io/library/x:2"
    assert told["containerimage.config.digest"] == inspected(lamina, "x:2")["Id"]
    # And another store takes from it what is for it.
    other = Command(tmp_path / "other")
    other.run("load", "-i", layout, "--platform", FOREIGN).ok()
    assert listed(other, "x") == [f"linux/{FOREIGN}"]


@pytest.mark.parametrize("split", [None, "true", "false"])
def test_files_lie_in_a_directory_for_each_platform(
    lamina: Command, folder: Path, tmp_path: Path, split: str | None
) -> None:
    more = f",platform-split={split}" if split else ""
    outputs = ("-o", f"type=tar,dest={tmp_path / 'a.tar'}{more}", "-o", f"type=local,dest={tmp_path / 'out'}{more}")
    both = lamina.run("build", folder, *BOTH, *outputs)
    if split == "false":
        assert both.code == 2 and "usage-output" in both.err
        both = lamina.run("build", folder, *BOTH, outputs[2], outputs[3]).ok()
        assert (tmp_path / "out/d/common").read_text() == "same"
        return
    both.ok()
    names = {f"linux_{one}/{path}" for one in (HOST, FOREIGN) for path in ("f", "d", "d/common")}
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert set(tar.getnames()) == names | {f"linux_{HOST}", f"linux_{FOREIGN}"}
        # Each directory stands alone: nothing in it is a link into the other.
        assert {member.name for member in tar if member.isfile()} == {name for name in names if name[-2:] != "/d"}
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*/*")}
    assert found == names
    assert (tmp_path / f"out/linux_{FOREIGN}/f").read_text() == "theirs"


def test_one_platform_is_split_only_if_asked(lamina: Command, folder: Path, tmp_path: Path) -> None:
    lamina.build(folder, "-o", tmp_path / "plain", "-o", f"type=local,dest={tmp_path / 's'},platform-split=true").ok()
    assert (tmp_path / "plain/f").read_text() == (tmp_path / f"s/linux_{HOST}/f").read_text() == "ours"


def test_an_archive_for_docker_holds_one_platform(lamina: Command, folder: Path, tmp_path: Path) -> None:
    done = lamina.run("build", folder, *BOTH, "-o", f"type=docker,dest={tmp_path / 'x.tar'}")
    assert done.code == 9 and "type=oci" in done.err
    assert not (tmp_path / "x.tar").exists()


def test_a_memo_does_not_stand_in_for_several_platforms(lamina: Command, folder: Path) -> None:
    """Neither does one of one platform hide that the name holds another build's images as well."""
    time.sleep(2.05)
    words = ("build", "-q", "-t", "x", folder)
    for _ in range(2):
        lamina.run(*words).ok()
    assert len(list((lamina.root / "unchanged").glob("*"))) == 2  # the build's, and the plan's
    lamina.build(folder, *BOTH, "-t", "x").ok()
    lamina.run(*words).ok()
    assert listed(lamina, "x") == [f"linux/{HOST}"]
