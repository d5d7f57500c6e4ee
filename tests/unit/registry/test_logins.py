"""Credentials kept in and taken out of Docker's config.json, whatever else is in it."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from lamina.diagnostics import BuildFailure
from lamina.registry.credentials import Credentials, DockerCredentials
from lamina.registry.logins import forget, keep

ANN = Credentials("ann", "p:w ü")
HUB = "https://index.docker.io/v1/"


def test_what_is_kept_is_found_and_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "new/folder/config.json"
    assert forget(file, "r.example") is False
    assert not file.parent.exists()
    assert keep(file, "r.example:5000", ANN) == str(file)
    keep(file, "docker.io", Credentials("hub", "pw"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert set(json.loads(file.read_text())["auths"]) == {"r.example:5000", HUB}
    assert DockerCredentials(file).lookup("r.example:5000") == ANN
    assert DockerCredentials(file).lookup("docker.io") == Credentials("hub", "pw")
    assert forget(file, "r.example:5000") is True
    assert forget(file, "r.example:5000") is False
    assert DockerCredentials(file).lookup("r.example:5000") is None
    assert DockerCredentials(file).lookup("docker.io") is not None
    assert [path.name for path in file.parent.iterdir()] == ["config.json"]


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    other = {
        "psFormat": "table",
        "auths": {"old.example": {"auth": "eDp5"}},
        "plugins": {"x": {"y": "1"}},
        "proxies": None,
    }
    file.write_text(json.dumps(other))
    file.chmod(0o644)
    keep(file, "r.example", ANN)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert forget(file, "r.example")
    assert json.loads(file.read_text()) == other
    before = file.stat().st_mtime_ns
    assert not forget(file, "never.example")
    assert file.stat().st_mtime_ns == before


def test_a_link_is_followed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles/config.json").write_text("{}")
    link = tmp_path / "config.json"
    link.symlink_to("dotfiles/config.json")
    keep(link, "r.example", ANN)
    assert link.is_symlink()
    assert DockerCredentials(tmp_path / "dotfiles/config.json").lookup("r.example") == ANN


@pytest.mark.parametrize("content", ["not json", "[]", '{"auths": 3}', '"secret-word"'])
def test_a_damaged_file_is_not_overwritten(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(content)
    for attempt in (lambda: keep(file, "r.example", ANN), lambda: forget(file, "r.example")):
        with pytest.raises(BuildFailure) as caught:
            attempt()
        assert caught.value.diagnostic.reference == "registry-bad-config"
        assert "secret-word" not in str(caught.value.diagnostic)
    assert file.read_text() == content


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildFailure) as caught:
        keep(tmp_path / "file/config.json", "r.example", ANN)
    assert caught.value.diagnostic.reference == "registry-bad-config"
    assert "p:w" not in str(caught.value.diagnostic)


def test_logins_at_once_lose_none(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    threads = [threading.Thread(target=keep, args=(file, f"r{number}.example", ANN)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads(file.read_text())["auths"]) == 12


def test_other_files_are_looked_into_after_dockers(tmp_path: Path) -> None:
    docker, podman = tmp_path / "config.json", tmp_path / "auth.json"
    keep(podman, "r.example", Credentials("podman", "1"))
    keep(podman, "both.example", Credentials("podman", "1"))
    keep(docker, "both.example", Credentials("docker", "2"))
    found = DockerCredentials(docker, (tmp_path / "none.json", podman))
    assert found.lookup("r.example") == Credentials("podman", "1")
    assert found.lookup("both.example") == Credentials("docker", "2")
    assert found.lookup("neither.example") is None


def test_a_registry_is_asked_for_once(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    found = DockerCredentials(file)
    assert found.lookup("r.example") is None
    keep(file, "r.example", ANN)
    assert found.lookup("r.example") is None
    assert DockerCredentials(file).lookup("r.example") == ANN
