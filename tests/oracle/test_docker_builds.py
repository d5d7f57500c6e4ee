"""Every case of `cases/*.toml`, built by Docker's BuildKit and by lamina: the same files and the same configuration.

`./dev test` runs the quick ones, `./dev test-oracle` all of them. See `tests/support/oracle_cases.py` for the format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.command import Command
from tests.support.docker_daemon import Docker, running_docker
from tests.support.oracle_cases import Case, cases, make_context
from tests.support.oracle_images import Image, differences, read_image
from tests.support.waiting import copied

CASES = cases()
PARAMETERS = [
    pytest.param(case, id=f"{case.topic}-{case.name}", marks=() if case.quick else pytest.mark.oracle_full)
    for case in CASES
]
LAMINA_LINE = re.compile(r"Dockerfile:(\d+)")
DOCKER_LINE = re.compile(r"(?:parse error line |Dockerfile:)(\d+)")


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory, busybox_store: Path) -> Iterator[Docker]:
    """A daemon that has the image `busybox` that lamina has."""
    folder = tmp_path_factory.mktemp("docker")
    Command(busybox_store).run("save", "busybox", "-o", folder / "busybox.tar").ok()
    with running_docker(folder) as client:
        client("load", "-i", folder / "busybox.tar")
        yield client


@pytest.fixture(scope="module")
def command(busybox_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """lamina over one store for all cases, so that the cache has its say too."""
    return Command(copied(busybox_store, tmp_path_factory.mktemp("oracle") / "store"))


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 150
    names = [(case.topic, case.name) for case in CASES]
    assert len(set(names)) == len(names)
    assert 30 <= sum(case.quick for case in CASES) <= 60


@pytest.mark.parametrize("case", PARAMETERS)
def test_case(
    case: Case, request: pytest.FixtureRequest, tmp_path: Path, command: Command, record_property: Noted
) -> None:
    context = make_context(case, tmp_path / "context")
    record_property("oracle", "written" if case.source else "different" if case.differs else "same")
    if case.source:
        mine = built_by_lamina(case, context, command)
        if mine is not None:
            check(case, mine)
        return
    theirs = built_by_docker(case, context, request.getfixturevalue("docker"))
    mine = built_by_lamina(case, context, command)
    if theirs is not None and mine is not None:
        found = differences(theirs, mine)
        for place in case.left:
            assert found.pop(place, None) == ["dir", None], f"{place} is no mount point that Docker left"
        unexpected = {place: both for place, both in found.items() if place not in case.unlike}
        assert not unexpected, "\n".join(
            f"{place}:\n  docker {both[0]!r}\n  lamina {both[1]!r}" for place, both in unexpected.items()
        )
        assert set(case.unlike) <= set(found), "the difference that the case speaks of is not there"
    if mine is not None:
        check(case, mine)


Noted = Callable[[str, object], None]


def built_by_docker(case: Case, context: Path, docker: Docker) -> Image | None:
    """Docker's image, or None after making sure that it was right to fail."""
    flags = [f"--build-arg={name}={value}" for name, value in case.args.items()]
    flags += [f"--label={name}={value}" for name, value in case.labels.items()]
    done = docker.build(context, *flags, *([f"--target={case.target}"] if case.target else []))
    if case.docker_fails or (case.fails is not None and not case.differs):
        assert done.image is None, "Docker builds it"
        line = DOCKER_LINE.search(done.said)
        assert line is None or case.differs or int(line[1]) == case.fails, done.said
        return None
    assert done.image is not None, done.said
    return read_image(docker.save(done.image))


def built_by_lamina(case: Case, context: Path, command: Command) -> Image | None:
    """lamina's image, or None after making sure that it was right to fail, and at the right line."""
    archive = context.with_suffix(".tar")
    flags = [f"--build-arg={name}={value}" for name, value in case.args.items()]
    flags += [f"--label={name}={value}" for name, value in case.labels.items()]
    flags += [f"--target={case.target}"] if case.target else []
    flags += [flag.replace("{context}", str(context)) for flag in case.flags]
    done = command.build(context, *flags, "--ca-certs=none", "-o", f"type=docker,dest={archive}")
    if case.fails is None:
        assert done.code == 0, done.err[-2000:]
        return read_image(archive)
    assert done.code != 0, "lamina builds it"
    line = LAMINA_LINE.search(done.err)
    assert (int(line[1]) if line else 0) == case.fails, done.err
    assert f"[{case.reference}" in done.err
    return None


def check(case: Case, image: Image) -> None:
    """What the case itself says must be there."""
    expect = case.expect
    for path, wanted in expect.files.items():
        assert path in image.files, path
        entry = image.files[path]
        for name, value in ({"kind": "file", "text": wanted} if isinstance(wanted, str) else wanted).items():
            assert getattr(entry, name) == (tuple(value) if name == "same" else value), f"{path} {name}"
    for folder in expect.only:
        found = {path for path in image.files if path.startswith(folder.rstrip("/") + "/")}
        assert found == {path for path in expect.files if path.startswith(folder.rstrip("/") + "/")}
    assert not {*expect.gone} & {*image.files}
    config = image.config["config"]
    assert {name: config.get(name) for name in expect.config} == expect.config
    texts = [entry.get("created_by", "") for entry in image.config["history"]]
    assert {*expect.created_by} <= {*texts}, texts
    if expect.layers is not None:
        assert len(image.layers) == expect.layers + 1
