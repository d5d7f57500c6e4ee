"""The example shop is the lesson's, its lock file belongs to its Pipfile, and the bases are made the same each time."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest
from tests.support.base_images import busybox_rootfs

ROOT = Path(__file__).resolve().parents[3]
SHOP = ROOT / "examples" / "shop"
LAYERS = {
    "bad": ["WORKDIR /app", "COPY . .", "RUN pip install pipenv", "RUN pipenv install --deploy --system"],
    "good": [
        *("WORKDIR /app", "RUN pip install pipenv", "COPY Pipfile Pipfile.lock ./"),
        *("RUN pipenv install --deploy --system", "COPY . ."),
    ],
}


@pytest.mark.parametrize("order", LAYERS)
def test_the_dockerfiles_are_the_lessons(order: str) -> None:
    lines = (SHOP / f"Dockerfile.{order}").read_text().splitlines()
    base = ["ARG BASE=python:3.12-slim", "FROM ${BASE}"]
    end = ["EXPOSE 8000", 'CMD ["python", "manage.py", "runserver", "0.0.0.0:8000"]']
    assert [line for line in lines if line and not line.startswith("#")] == [*base, *LAYERS[order], *end]


def test_the_lock_file_belongs_to_the_pipfile() -> None:
    """pipenv's own rule: the hash of the Pipfile's sections as JSON without blanks."""
    pipfile = tomllib.loads((SHOP / "Pipfile").read_text())
    sections = {
        "_meta": {"sources": pipfile["source"], "requires": pipfile.get("requires", {})},
        "default": pipfile["packages"],
        "develop": pipfile.get("dev-packages", {}),
    }
    text = json.dumps(sections, sort_keys=True, separators=(",", ":"))
    lock = json.loads((SHOP / "Pipfile.lock").read_text())
    assert lock["_meta"]["hash"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()


def test_the_busybox_base_is_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first, second = busybox_rootfs(tmp_path), busybox_rootfs(tmp_path / "again")
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        assert archive.getmember("bin/sh").linkname == "busybox"
        assert archive.getmember("tmp").mode == 0o1777


def test_dev_refuses_an_unknown_task() -> None:
    done = subprocess.run([ROOT / "dev", "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no task 'nonsense'" in done.stderr
