"""The lesson, measured: the example shop in its bad order, in its good one, and in the bad one observed.

The base is the demo's Debian with Python, and the steps are the lesson's own `pip install pipenv` and `pipenv install`
from the package index; each round changes one line of one source file.
"""

from __future__ import annotations

import os
import shutil
import ssl
import tarfile
from pathlib import Path

from bench.workloads import Workload
from examples.base_image import python_rootfs

#: The image that the Dockerfiles of the lesson stand on here.
LESSON_BASE = "bench-python"
_SHOP = Path(__file__).resolve().parent.parent / "examples" / "shop"
_SOURCE = "catalogue/views.py"
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
#: Peers cannot be lent this machine's certificates, so the image has them, and says so to all programs.
_TRUST = "".join(f"ENV {name}=/{_BUNDLE}\n" for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"))


class Lesson(Workload):
    """One order of the lesson's Dockerfile, rebuilt after one changed line."""

    warm = True

    def __init__(self, directory: Path, order: str, *, observed: bool = False) -> None:
        self.name = "lesson-observed" if observed else f"lesson-{order}"
        self.title = f"the lesson's {order} order, {'observed, ' if observed else ''}one line changed"
        self._order = order
        if observed:
            self.only = ("lamina",)
        super().__init__(directory)

    def prepare(self) -> None:
        shutil.copytree(_SHOP, self.context, ignore=shutil.ignore_patterns("__pycache__", "db.sqlite3"))
        text = (_SHOP / f"Dockerfile.{self._order}").read_text()
        first = "FROM ${BASE}\n"
        assert first in text
        (self.context / "Dockerfile").write_text(text.replace(first, f"FROM {LESSON_BASE}\n{_TRUST}"))
        (self.context / "lamina.toml").write_text(f"observe = {'true' if self.only else 'false'}\n")

    def begin_round(self, number: int) -> None:
        source = self.context / _SOURCE
        source.write_text(source.read_text() + f"# round {number}\n")


def lessons(directory: Path) -> list[Workload]:
    """The three cases."""
    return [
        Lesson(directory, "bad"),
        Lesson(directory, "good"),
        Lesson(directory, "bad", observed=True),
    ]


def lesson_rootfs(work: Path) -> Path:
    """The base's root file system, with the certificates that this machine trusts."""
    bundle = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    if not bundle:
        return python_rootfs()
    target = work / "python.tar"
    with tarfile.open(python_rootfs()) as old, tarfile.open(target, "w") as new:
        for member in old:
            if member.name.removeprefix("./") != _BUNDLE:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
        new.add(os.path.realpath(bundle), f"./{_BUNDLE}")
    return target
