"""Each rule has a page, and the page's examples are what the rule says of them."""

from __future__ import annotations

import re

import pytest
from tests.support.linting import found
from tests.support.rules_page import FOLDER, hadolint, index

from lamina.dockerfile import parse
from lamina.lint.check import Choice
from lamina.lint.rule import Rule
from lamina.lint.table import RULES
from lamina.oci.platform import Platform
from lamina.workshop.checking import Source, mend

HERE = Platform("linux", "amd64")
EXAMPLES = [rule for rule in RULES if rule.needs != "images"]


def part(rule: Rule, title: str) -> str:
    text = (FOLDER / f"{rule.page}.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def block(text: str, kind: str) -> str | None:
    match = re.search(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return match[1] if match else None


def files(text: str) -> list[str] | None:
    listed = block(text, "files")
    return listed.splitlines() if listed is not None else None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_it_has_a_page_with_its_name_and_what_it_asks(rule: Rule) -> None:
    text = (FOLDER / f"{rule.page}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {rule.name}\n\n{rule.summary[0].upper()}{rule.summary[1:]}. *{rule.severity}")
    assert all(code in text for code in rule.hadolint)


@pytest.mark.parametrize("rule", EXAMPLES, ids=lambda rule: rule.name)
def test_the_bad_example_is_found_on_the_line_that_the_page_says(rule: Rule) -> None:
    bad = part(rule, "Bad")
    text = block(bad, "dockerfile")
    line = re.search(r"Found on line (\d+)", bad)
    assert text and line
    assert [one.span.line for one in found(text, rule.name, files(bad))] == [int(line[1])]


@pytest.mark.parametrize("rule", EXAMPLES, ids=lambda rule: rule.name)
def test_the_good_example_is_clean(rule: Rule) -> None:
    good = part(rule, "Good")
    text = block(good, "dockerfile")
    assert text
    assert found(text, rule.name, files(good)) == []


@pytest.mark.parametrize("rule", EXAMPLES, ids=lambda rule: rule.name)
def test_the_fix_mends_the_bad_example_if_the_page_promises_one(rule: Rule) -> None:
    bad = part(rule, "Bad")
    text = block(bad, "dockerfile")
    assert text
    mended, diff = mend(Source(text.encode(), "Dockerfile"), HERE, Choice(enable=frozenset({"all"})))
    fixable = bool(found(text, rule.name, files(bad))[0].edits)
    assert fixable == bool(part(rule, "Fix"))
    if fixable:
        assert diff
        assert found(mended.text.decode(), rule.name, files(bad)) == []
        parse(mended.text, "Dockerfile")


def test_the_index_and_the_table_of_hadolint_are_those_of_the_code() -> None:
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == index()
    assert (FOLDER / "hadolint.md").read_text(encoding="utf-8") == hadolint()


def test_there_is_no_page_without_a_rule() -> None:
    pages = {path.stem for path in FOLDER.glob("*.md")} - {"README", "hadolint"}
    assert pages == {rule.page for rule in RULES}
