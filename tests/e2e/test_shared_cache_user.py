"""The shared cache between an ordinary user and root: threads that ask must be gone before namespaces are entered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command import Command
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.user_context import context_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


def test_what_root_built_is_taken_and_gone_on_from(
    server: RegistryServer,
    rootless: Command,
    place: Path,
    lamina: Command,
) -> None:
    cache = f"type=registry,ref={server.host}/team/cache"
    context = context_of(place)
    first = lamina.build(context, "--cache-to", cache).ok()
    done = rootless.build(context, "-t", "x", "--cache-from", cache)
    assert (done.ok().image == first.image, done.verdicts(), done.warnings) == (True, {}, [])
    assert rootless.run("run", "x").ok().out == "1000\ndata\n1000:1001\n1000\nwrote\n"
    rootless.verify()


def test_a_miss_after_the_threads_that_asked(
    server: RegistryServer,
    rootless: Command,
    place: Path,
    lamina: Command,
) -> None:
    cache = f"type=registry,ref={server.host}/team/other"
    context = context_of(place)
    lamina.build(context, "--cache-to", cache).ok()
    (context / "data").write_text("other\n")
    both = ("--cache-from", cache, "--cache-to", cache)
    done = rootless.build(context, *both)
    assert done.ok().row("COPY").files == {"data": "content"}
    assert done.result["shared"]["hits"] == 1 and done.result["shared"]["written"] == 3
    again = lamina.build(context, "--cache-from", cache)
    assert (again.verdicts(), again.image) == ({}, done.image)
    lamina.verify()
