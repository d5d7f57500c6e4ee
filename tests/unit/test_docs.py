"""The documentation: links lead somewhere, lists are complete, the README keeps its promise of two commands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from lamina.digest import Digest
from lamina.keys.compute import base_key, run_key
from lamina.keys.schema import PARTS
from lamina.oci.platform import Platform
from lamina.plan.steps import RunOp

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_CODE = re.compile(r"^```.*?^```$|^ {4}.*?$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8")))
    targets = [link.partition("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_public_recipe_names_every_part() -> None:
    text = read("docs/formats/key.md")
    for kind, parts in PARTS.items():
        section = text.partition(f"\n**{kind}** ")[2].partition("\n**")[0]
        assert re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE) == list(parts), kind


def test_the_example_of_the_public_recipe_is_what_lamina_computes() -> None:
    platform = Platform("linux", "amd64")
    base = base_key(Digest("sha256:" + 64 * "0"), platform)
    make = RunOp(argv=("/bin/sh", "-c", "make"), env=(("PATH", "/bin"),), args=(), user="", cwd="/app")
    text = read("docs/formats/key.md")
    assert base.digest in text
    assert run_key(make, base.digest, platform).digest in text


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads(read("pyproject.toml"))
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
        *project["build-system"]["requires"],
    ]
    text = read("docs/dependencies.md")
    assert [name for word in wanted if f"**{(name := re.split(r'[^a-z0-9-]', word)[0])}**" not in text] == []


def test_the_readme_begins_with_exactly_two_commands() -> None:
    start = read("README.md").partition("\n## ")[0]
    assert re.findall(r"^ {4}(.*)$", start, re.MULTILINE) == ["./dev demo", "./dev test"]
    assert "```" not in start
