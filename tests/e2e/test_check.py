"""`lamina check` as a process: what it is given, forms of output, exit statuses, fixing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import Command, project, write

import lamina as lmn

SHOP = Path(__file__).parents[2] / "examples" / "shop"
BAD = "FROM alpine:3.20\nENV GREETING hello\nRUN apk add curl\n"
MENDED = "FROM alpine:3.20\nENV GREETING=hello\nRUN apk add --no-cache curl\n"


@pytest.fixture
def lamina(tmp_path: Path) -> Command:
    """A store that is not there: `check` needs none, and makes none."""
    return Command(tmp_path / "store")


def rules(lamina: Command, *words: str | Path, stdin: bytes = b"") -> list[tuple[str, int]]:
    done = lamina.run("check", "--format", "json", *words, stdin=stdin)
    return [(one["rule"], one["span"]["line"]) for one in json.loads(done.out)["findings"]]


def test_the_lessons_bad_file_is_told_its_fault_and_the_good_one_is_clean(lamina: Command) -> None:
    done = lamina.run("check", SHOP, "-f", SHOP / "Dockerfile.bad")
    assert done.code == 1
    assert "Dockerfile.bad:9\n" in done.out and ">>> COPY . ." in done.out
    assert "put `COPY Pipfile Pipfile.lock ./` above line 15, and this COPY below it" in done.out
    assert "[CodeBeforeDependencies]" in done.out
    done = lamina.run("check", SHOP, "-f", SHOP / "Dockerfile.good")
    assert (done.code, done.out) == (0, "nothing to complain about (1 more with --level info)\n")
    assert not lamina.root.exists()


def test_a_build_that_is_only_to_check(lamina: Command) -> None:
    for flag in ("--check", "--call=check"):
        done = lamina.run("build", flag, SHOP, "-f", SHOP / "Dockerfile.bad")
        assert (done.code, done.out) == (1, lamina.run("check", SHOP, "-f", SHOP / "Dockerfile.bad").out)
    assert lamina.run("build", "--check", SHOP, "-f", SHOP / "Dockerfile.good").code == 0
    assert not lamina.root.exists()


def test_the_call(lamina: Command) -> None:
    found = lmn.check(SHOP, dockerfile=SHOP / "Dockerfile.bad", root=lamina.root)
    assert [(one.rule, one.span.line) for one in found.findings if one.severity == "warning"] == [
        ("CodeBeforeDependencies", 9)
    ]
    assert found.failure is None and not lamina.root.exists()
    assert not lmn.check(SHOP, dockerfile=SHOP / "Dockerfile.bad", skip=["all"], root=lamina.root).findings
    with pytest.raises(lmn.BuildFailure, match="NoRule"):
        lmn.check(SHOP, dockerfile=SHOP / "Dockerfile.bad", skip=["NoRule"], root=lamina.root)


def test_what_it_can_be_given(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", BAD, {"other.Dockerfile": "FROM alpine\n"})
    expected = [("LegacyKeyValueFormat", 2), ("ApkCacheKept", 3)]
    assert rules(lamina, folder) == expected
    assert rules(lamina, folder / "Dockerfile") == expected
    assert rules(lamina, "-f", folder / "Dockerfile") == expected
    assert rules(lamina, "-f", "-", stdin=BAD.encode()) == expected
    assert rules(lamina, folder, "-f", folder / "other.Dockerfile") == [("UntaggedBase", 1)]
    assert rules(lamina, folder, "-f", "-", stdin=b"FROM alpine") == [("UntaggedBase", 1)]


def test_the_context_is_looked_at_if_it_is_given(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM alpine:3.20\nCOPY . /app\n", {".git/HEAD": "x", ".env": "KEY=1", "a": ""})
    assert rules(lamina, folder / "Dockerfile") == []
    assert rules(lamina, folder) == [("JunkInCopy", 2), ("MissingIgnoreFile", 2), ("SecretInCopy", 2)]
    write(folder, {".dockerignore": ".git\n.env\n"})
    assert rules(lamina, folder) == []
    write(folder, {"Dockerfile": "FROM alpine:3.20\nCOPY .env /app/\n"})
    assert rules(lamina, folder, "--enable", "CopyIgnoredFile") == [("CopyIgnoredFile", 2)]


def test_exit_statuses_and_levels(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", BAD + "RUN pip install x\n")
    assert [lamina.run("check", folder, "--fail-on", one).code for one in ("never", "info", "warning", "error")] == [
        *(0, 1, 1, 0)
    ]
    skip = "--skip=LegacyKeyValueFormat,ApkCacheKept"
    assert [lamina.run("check", folder, skip, *one).code for one in ((), ("--fail-on", "info"))] == [0, 1]
    assert "[PipCacheKept]" in lamina.run("check", folder, "--level", "info").out
    assert "[PipCacheKept]" not in lamina.run("check", folder).out
    write(folder, {"Dockerfile": f"# check=error=true\n{BAD}"})
    done = lamina.run("check", folder, "--fail-on", "error")
    assert done.code == 1 and "error: " in done.out and "2 errors" in done.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--skip", "UntagedBase"), 2, "did you mean UntaggedBase?"),
        (("--format", "xml"), 2, "usage-bad-arguments"),
        (("--fix", "-f", "-"), 2, "--diff shows what it would do"),
        (("nowhere",), 4, "context-not-found"),
        (("-f", "nowhere"), 3, "dockerfile-not-found"),
        ((".", "--platform", "x/y/z/w"), 2, "usage-platform"),
    ],
)
def test_bad_command_lines(lamina: Command, words: tuple[str, ...], code: int, said: str) -> None:
    done = lamina.run("check", *words)
    assert done.code == code
    assert said in done.err and "Traceback" not in done.err


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("FORM alpine", "dockerfile-unknown-instruction"),
        ("# check=skip\nFROM alpine:3", "dockerfile-bad-check"),
        ("FROM alpine:3\nCOPY --from=later /a /b\nFROM alpine:3 AS later", "dockerfile-circular-stages"),
    ],
)
def test_a_file_that_cannot_be_built_is_an_error_in_every_form(lamina: Command, text: str, reference: str) -> None:
    def run(form: str) -> str:
        done = lamina.run("check", "-f", "-", "--format", form, stdin=text.encode())
        assert done.code == 3
        return done.out + done.err

    assert f"[{reference}]" in run("text")
    assert json.loads(run("json"))["error"]["reference"] == reference
    assert f"title={reference}::" in run("github")
    results = json.loads(run("sarif"))["runs"][0]["results"]
    assert (results[-1]["ruleId"], results[-1]["level"]) == (reference, "error")


def test_fixing(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", BAD)
    file = folder / "Dockerfile"
    file.chmod(0o640)
    done = lamina.run("check", folder, "--diff")
    assert done.code == 1 and "+ENV GREETING=hello" in done.out
    assert file.read_text() == BAD
    done = lamina.run("check", folder, "--fix")
    assert done.code == 0 and "-RUN apk add curl\n+ENV GREETING=hello\n" in done.out
    assert done.out.endswith("\n\nnothing to complain about\n")
    assert file.read_text() == MENDED and file.stat().st_mode & 0o777 == 0o640
    done = lamina.run("check", folder, "--fix")
    assert (done.code, done.out) == (0, "nothing to complain about\n")
    assert lamina.run("check", folder, "--diff").code == 0


def test_fixing_leaves_what_is_skipped_and_takes_what_is_asked_for(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", BAD)
    lamina.run("check", folder, "--fix", "--skip", "ApkCacheKept").ok()
    assert (folder / "Dockerfile").read_text() == MENDED.replace(" --no-cache", "")


def test_annotations_of_github(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "a,b", "FROM alpine:3.20\nENV A 100%\n")
    done = lamina.run("check", "--format", "github", folder)
    (line,) = done.out.splitlines()
    place = str(folder / "Dockerfile").replace(",", "%2C")
    assert line.startswith(f"::warning file={place},line=2,endLine=2,col=1,endColumn=11,title=LegacyKeyValueFormat::")
    assert lamina.run("check", "--format", "github", "-f", "-", stdin=b"FROM alpine:3").out == ""


def test_sarif_has_what_the_format_requires(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", BAD)
    log = json.loads(lamina.run("check", "--format", "sarif", folder).out)
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "lamina" and run["columnKind"] == "unicodeCodePoints"
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids) >= 40
    assert all(rule["shortDescription"]["text"] and rule["help"]["text"] for rule in driver["rules"])
    assert [result["ruleId"] for result in run["results"]] == ["LegacyKeyValueFormat", "ApkCacheKept"]
    for result in run["results"]:
        check_result(result, ids)


def check_result(result: dict[str, Any], ids: list[str]) -> None:
    assert ids[result["ruleIndex"]] == result["ruleId"]
    assert result["level"] in ("error", "warning", "note")
    assert result["message"]["text"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].startswith("file:///")
    region = place["region"]
    assert 1 <= region["startLine"] <= region["endLine"] and region["startColumn"] >= 1
    for fix in result["fixes"]:
        assert fix["description"]["text"]
        for change in fix["artifactChanges"]:
            assert change["artifactLocation"]["uri"] == place["artifactLocation"]["uri"]
            assert all({"deletedRegion", "insertedContent"} == set(one) for one in change["replacements"])


def test_the_list_of_rules(lamina: Command) -> None:
    done = lamina.run("check", "--list").ok()
    assert "CodeBeforeDependencies" in done.out and "BuildKit DL3024" in done.out
    assert len(done.out.splitlines()) == 50
