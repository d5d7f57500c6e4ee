"""`--reproducible`: two machines, one digest. And `lamina repro`, which names what stands in the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.command import Command, write
from tests.support.runner_bench import give, ordinary_user
from tests.support.waiting import copied

FIXED = 315_619_200

DOCKERFILE = """FROM busybox AS tools
WORKDIR /work/deep
COPY --chmod=755 tool /bin/tool
COPY app app
RUN mkdir made && echo $SOURCE_DATE_EPOCH > made/stamp && ln made/stamp made/hard && ln -s stamp made/link && \\
    chmod 600 app/one && cp -p app/deep/two /copy && mv app/deep app/moved && touch -d '1975-05-05 05:05:05' /old
FROM busybox
COPY --from=tools /work /work
COPY --from=tools /copy /old /
ADD archive.tar /unpacked/
RUN rm -r /work/deep/app/moved && mkdir -p /work/deep/app/moved
"""


class Machine:
    """A store, and checkouts of one repository, under surroundings of its own."""

    def __init__(self, lamina: Command, folder: Path, umask: int, zone: str) -> None:
        self.lamina = lamina
        self.folder = folder
        self.umask = umask
        self.env = {"TZ": zone, "LC_ALL": "C.UTF-8" if umask == 0o022 else "POSIX", "USER": f"user{umask}"}

    def checkout(self, origin: Path) -> Path:
        if not self.folder.exists():
            git(origin, "clone", "-q", origin, self.folder, umask=self.umask)
        git(self.folder, "pull", "-q", umask=self.umask)
        return self.folder

    def build(self, origin: Path, *flags: str | Path) -> tuple[str, dict[str, str]]:
        """What an OCI layout of the image has as its manifest, and which steps ran."""
        layout = self.folder.with_name(self.folder.name + "-layout")
        shutil.rmtree(layout, ignore_errors=True)
        words = ("build", "--progress", "rawjson", "--reproducible", "-o", f"type=oci,tar=false,dest={layout}")
        before = os.umask(self.umask)
        try:
            done = self.lamina.run(*words, *flags, self.checkout(origin), env=self.env)
        finally:
            os.umask(before)
        verdicts = done.verdicts()
        (manifest,) = json.loads((layout / "index.json").read_text())["manifests"]
        return manifest["digest"], verdicts


def git(folder: Path, *words: str | Path, umask: int = 0o022, env: Mapping[str, str] | None = None) -> None:
    subprocess.run(
        ["git", "-C", folder, *words], check=True, capture_output=True, umask=umask, env={**os.environ, **(env or {})}
    )


def commit(origin: Path, files: Mapping[str, str], when: int) -> None:
    write(origin, files)
    git(origin, "add", "-A")
    words = ("-c", "user.name=n", "-c", "user.email=e@example.com", "commit", "-qm", "m")
    git(origin, *words, env={"GIT_COMMITTER_DATE": f"{when} +0000", "GIT_AUTHOR_DATE": f"{when} +0000"})


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = write(
        tmp_path / "origin",
        {
            "Dockerfile": DOCKERFILE,
            ".dockerignore": ".git\n",
            "tool": "#!/bin/sh\n",
            "app/one": "1",
            "app/deep/two": "2",
        },
    )
    with tarfile.open(folder / "archive.tar", "w") as tar:
        member = tarfile.TarInfo("inside")
        member.mtime = 1_000_000_000
        tar.addfile(member)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, {}, 1_700_000_000)
    return folder


@pytest.fixture
def machines(lamina: Command, busybox_store: Path, tmp_path: Path) -> tuple[Machine, Machine]:
    other = copied(busybox_store, tmp_path / "other-store")
    return (
        Machine(lamina, tmp_path / "one", 0o022, "UTC"),
        Machine(Command(other), tmp_path / "somewhere else" / "two", 0o077, "Asia/Kathmandu"),
    )


def age(folder: Path, seconds: int) -> None:
    """Make every file of a checkout as old as that, in seconds since 1970, each a little older than the one before."""
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if ".git" not in path.parts:
            os.utime(path, (seconds - number, seconds - number), follow_symlinks=False)


def entries(lamina: Command, context: Path, out: Path) -> dict[str, tarfile.TarInfo]:
    lamina.build(context, "--reproducible", "-o", f"type=tar,dest={out}").ok()
    with tarfile.open(out) as tar:
        return {member.name: member for member in tar}


def test_two_machines_one_manifest(machines: tuple[Machine, Machine], origin: Path, tmp_path: Path) -> None:
    one, two = machines
    two.folder.parent.mkdir()
    age(one.checkout(origin), 200_000_000)  # older than the limit of layers
    first, ran = one.build(origin)
    assert len(ran) == 8
    assert two.build(origin, "--jobs", "1") == (first, ran)
    # Cached it is the same, whatever blobs the store has of its layers by now.
    zstd = one.folder.with_name("zstd")
    one.lamina.build(one.folder, "--reproducible", "-o", f"type=oci,dest={zstd},compression=zstd").ok()
    assert one.build(origin) == (first, {})
    told = entries(one.lamina, one.folder, tmp_path / "out.tar")
    assert {told[name].mtime for name in ("work/deep/app/one", "work/deep/made/link", "copy", "unpacked/inside")} == {
        FIXED
    }
    assert told["old"].mtime < FIXED
    assert told["work/deep/made/stamp"].islnk() or told["work/deep/made/hard"].islnk()
    one.lamina.verify()


def test_a_layer_of_an_earlier_commit_is_the_same_as_a_fresh_one(
    machines: tuple[Machine, Machine], origin: Path
) -> None:
    one, two = machines
    two.folder.parent.mkdir()
    before, _ = one.build(origin)
    commit(origin, {"README": "not copied\n"}, 1_800_000_000 - 1)
    after, ran = one.build(origin)
    assert ran == {}
    assert after != before  # the image bears the time of its commit
    assert two.build(origin)[0] == after


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_layer_of_a_shared_cache_is_the_same_as_one_of_its_own(
    machines: tuple[Machine, Machine], origin: Path, tmp_path: Path, compression: str
) -> None:
    one, two = machines
    two.folder.parent.mkdir()
    cache = tmp_path / "cache"
    first, _ = one.build(origin, "--cache-to", f"type=local,dest={cache},compression={compression}")
    again, ran = two.build(origin, "--cache-from", f"type=local,src={cache}")
    assert (again, ran) == (first, {})
    assert two.build(origin, "--no-cache")[0] == first


def test_steps_see_the_real_times(lamina: Command, tmp_path: Path) -> None:
    text = (
        "FROM busybox\nCOPY file /\nRUN stat -c %Y /file > /time; touch /now; stat -c %Y /now >> /time\nRUN cat /time\n"
    )
    context = write(tmp_path / "context", {"Dockerfile": text, "file": "x"})
    os.utime(context / "file", (1_600_000_000, 1_600_000_000))
    seen = lamina.build(context, "--reproducible").output.split()
    assert seen[0] == "1600000000"
    assert int(seen[1]) > 1_600_000_000
    # One that is older than the limit would be told from a younger copy of it.
    (context / "file").write_text("y")
    os.utime(context / "file", (1, 1))
    assert lamina.build(context, "--reproducible").output.split()[0] == str(FIXED)


def test_it_shares_nothing_with_other_builds_and_comes_from_the_file_too(lamina: Command, tmp_path: Path) -> None:
    text = "FROM busybox\nCOPY file /\nRUN echo ${SOURCE_DATE_EPOCH-none} > /stamp\n"
    context = write(tmp_path / "context", {"Dockerfile": text, "file": "x"})
    plain = lamina.build(context)
    first = lamina.build(context, "--reproducible")
    assert len(first.verdicts()) == 2
    assert "times" in str(first.row("COPY").cause)
    assert lamina.build(context).image == plain.image
    (context / "lamina.toml").write_text("reproducible = true\n")
    again = lamina.build(context)
    assert (again.verdicts(), again.image) == ({}, first.image)
    assert lamina.run("plan", context).code == 0
    assert lamina.run("plan", "--no-reproducible", context).code == 0
    other = lamina.build(context, "--source-date-epoch", "1600000000")
    assert len(other.verdicts()) == 2
    assert lamina.build(context, "--no-reproducible").image == plain.image
    done = lamina.run("build", "--source-date-epoch", "99999999999", context)
    assert (done.code, "[usage-source-date-epoch]" in done.err) == (2, True)


def test_repro_of_an_image_that_is(lamina: Command, origin: Path) -> None:
    image = lamina.build(origin, "--reproducible").image
    before = lamina.contents()
    done = lamina.run("repro", "-q", origin).ok()
    assert done.out.startswith(f"reproducible: {image}\nbuilt in ")
    assert lamina.contents() == before
    assert not list((lamina.root / "tmp").iterdir())


@pytest.mark.parametrize(
    ("step", "path", "told"),
    [
        ("date > /f; echo same > /g", "/f", "content, line 1"),
        ("head -c 8 /dev/urandom > /bytes", "/bytes", "content, "),
        ("touch /tmp/$(cat /proc/sys/kernel/random/uuid)", "/tmp/", "and 1 more"),
        ("echo >> /same; touch -d 1975-05-05 /same", "/same", "time, 1975-05-05 "),
    ],
)
def test_repro_names_the_step_and_the_file(lamina: Command, tmp_path: Path, step: str, path: str, told: str) -> None:
    text = (
        f"FROM busybox AS maker\nRUN echo same > /same\nRUN {step}\nRUN true\nFROM busybox\nCOPY --from=maker / /all\n"
    )
    context = write(tmp_path / "context", {"Dockerfile": text})
    done = lamina.run("repro", "-q", context)
    assert done.code == 1
    assert f"the first step that differs: RUN {step}\n  {context}/Dockerfile:3\n  {path}" in done.out
    assert told in done.out
    assert "1 more step differs after it" in done.out


def test_repro_as_json_and_the_cure(lamina: Command, tmp_path: Path) -> None:
    context = write(tmp_path / "context", {"Dockerfile": 'FROM busybox\nARG NOW=date\nRUN eval "$NOW" > /f.pyc\n'})
    done = lamina.run("repro", "-q", "--json", context)
    told = json.loads(done.out)
    assert (done.code, told["same"], told["step"]["line"], told["total"]) == (1, False, 3, 1)
    assert told["differences"][0]["path"] == "/f.pyc"
    assert "compiled Python" in told["differences"][0]["why"]
    assert len(set(told["images"])) == 2
    cured = lamina.run("repro", "-q", "--json", "--build-arg", "NOW=echo $SOURCE_DATE_EPOCH", "-t", "x", context)
    assert json.loads(cured.ok().out)["same"]
    assert lamina.run("inspect", "x").code != 0


def test_repro_of_a_build_that_fails_says_so_once(lamina: Command, tmp_path: Path) -> None:
    context = write(tmp_path / "context", {"Dockerfile": "FROM busybox\nRUN exit 3\n"})
    done = lamina.run("repro", "-q", context)
    assert (done.code, done.out, done.err.count("exit status 3")) == (5, "", 1)
    assert not list((lamina.root / "tmp").iterdir())
    (context / "Dockerfile").write_text("FROM busybox\nRUNN x\n")
    assert lamina.run("repro", context).code == 3
    done = lamina.run("repro", "-", stdin=b"FROM busybox\n")
    assert (done.code, "standard input" in done.err) == (2, True)


def test_an_ordinary_user_builds_what_root_builds(lamina: Command, rootless: Command) -> None:
    text = "FROM busybox\nCOPY --chown=7:8 file /\nRUN mkdir /d && chown 5:6 /d && echo $SOURCE_DATE_EPOCH > /d/stamp\n"
    context = write(rootless.root.parent / "context", {"Dockerfile": text, "file": "x"})
    user = ordinary_user()
    give(context, (user.pw_uid, user.pw_gid))
    image = rootless.build(context, "--reproducible").image
    assert lamina.build(context, "--reproducible").image == image
    rootless.verify()
    assert f"reproducible: {image}" in rootless.run("repro", "-q", context).ok().out
    assert not list((rootless.root / "tmp").iterdir())
