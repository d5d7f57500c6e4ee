"""`lamina.toml`: what it says, what is wrong with it, and that its page is complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.diagnostics import BuildFailure, Diagnostic
from lamina.workshop.config import Configuration, known_keys, project_configuration
from lamina.workshop.locate import here

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def said(folder: Path, text: str | bytes) -> Configuration:
    (folder / "lamina.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    return project_configuration(folder)


def wrong(folder: Path) -> Diagnostic:
    with pytest.raises(BuildFailure) as caught:
        project_configuration(folder)
    assert caught.value.diagnostic.reference == "usage-configuration"
    return caught.value.diagnostic


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Configuration()),
        ("# nothing yet\n", Configuration(modes=None, source_date_epoch=None)),
        ('modes = "git"\n', Configuration(modes="git")),
        ('modes = "keep"\nsource-date-epoch = "auto"\n', Configuration("keep", source_date_epoch="auto")),
        ("reproducible = true\n", Configuration(reproducible=True)),
        ('cache-from = ["r.example/team/cache"]\n', Configuration(cache_from=("r.example/team/cache",))),
        ("source-date-epoch = 1_700_000_000\n", Configuration(source_date_epoch=1_700_000_000)),
        ('"modes" = "git"\r\nsource-date-epoch = 0', Configuration(modes="git", source_date_epoch=0)),
    ],
)
def test_what_it_says(tmp_path: Path, text: str, expected: Configuration) -> None:
    assert said(tmp_path, text) == expected


def test_without_the_file_all_is_default(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        assert project_configuration(folder) == Configuration()


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "hint"),
    [
        ('mode = "git"', 1, 1, "lamina.toml has no key 'mode'", "did you mean modes? the keys are modes, source-d"),
        ("\n  source_date_epoch = 1", 2, 3, "no key 'source_date_epoch'", "did you mean source-date-epoch?"),
        ("[zebra]\nx = 1", 1, 2, "no key 'zebra'", "the keys are modes, source-date-epoch"),
        ('modes = "git"\nmodez.x = 1', 2, 1, "no key 'modez'", "did you mean modes?"),
        ('# modes\nmodes = "Git"', 2, 1, "modes in '{file}' cannot be 'Git'", 'write "keep" or "git"'),
        ("modes = 1", 1, 1, "cannot be 1", 'write "keep" or "git"'),
        ("modes.git = true", 1, 1, "cannot be {'git': True}", 'write "keep" or "git"'),
        ("[modes]", 1, 2, "cannot be {}", 'write "keep" or "git"'),
        ("source-date-epoch = -1", 1, 1, "source-date-epoch in '{file}' cannot be -1", '"auto" or seconds since 1970'),
        ("source-date-epoch = 1.5", 1, 1, "cannot be 1.5", '"auto" or seconds since 1970'),
        ("source-date-epoch = true", 1, 1, "cannot be True", '"auto" or seconds since 1970'),
        ('source-date-epoch = "1"', 1, 1, "cannot be '1'", '"auto" or seconds since 1970'),
        ("source-date-epoch = 2024-01-01", 1, 1, "cannot be datetime", '"auto" or seconds since 1970'),
        ('cache-to = ["x"]', 1, 1, "cannot say where a build writes", "--cache-to"),
        ('cache-from = "r.example/a"', 1, 1, "cannot be 'r.example/a'", "a list of repositories"),
        ('cache-from = ["type=s3,bucket=b,endpoint_url=http://e"]', 1, 1, "cannot be", "a list of repositories"),
        (f"source-date-epoch = -{10**40}", 1, 1, "cannot be -1000", '"auto" or seconds since 1970'),
    ],
)
def test_a_key_or_value_that_cannot_be(
    tmp_path: Path, text: str, line: int, column: int, message: str, hint: str
) -> None:
    file = tmp_path / "lamina.toml"
    file.write_text(text)
    told = wrong(tmp_path)
    assert told.span is not None
    assert (told.span.file, told.span.line, told.span.column) == (str(file), line, column)
    assert message.replace("{file}", str(file)) in told.message
    assert hint in (told.hint or "")


def test_a_key_with_an_escape_is_named_without_a_place(tmp_path: Path) -> None:
    (tmp_path / "lamina.toml").write_text('"\\u001b[2J" = 1')
    told = wrong(tmp_path)
    assert told.span is None
    assert told.message == "lamina.toml has no key '\\x1b[2J'"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"modes = ", "Invalid value"),
        (b'modes = "git"\nmodes = "keep"', "Cannot overwrite a value"),
        (b"\xff\xfe", "it is not UTF-8, from byte 0 on"),
        (b"modes = " + b"[" * 60_000, "nested too deeply"),
        (b"source-date-epoch = " + b"9" * 5000, "integer"),
        (b"#" * (64 << 10) + b"\n", "it is larger than 64 KiB"),
        (b"modes = 'git'\0", ""),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: bytes, cause: str) -> None:
    (tmp_path / "lamina.toml").write_bytes(text)
    told = wrong(tmp_path)
    assert str(tmp_path / "lamina.toml") in told.message
    assert cause in (told.cause or "")


def test_what_is_no_file(tmp_path: Path) -> None:
    file = tmp_path / "lamina.toml"
    os.mkfifo(file)
    assert wrong(tmp_path).cause == "it is no regular file"
    file.unlink()
    file.symlink_to("lamina.toml")
    assert wrong(tmp_path).cause
    file.unlink()
    file.mkdir()
    assert wrong(tmp_path).cause == "Is a directory"


def test_a_link_may_not_lead_out_of_the_context(tmp_path: Path) -> None:
    context = tmp_path / "context"
    (context / "etc").mkdir(parents=True)
    (context / "etc/lamina.toml").write_text('modes = "git"')
    (context / "lamina.toml").symlink_to("etc/lamina.toml")
    (tmp_path / "name").symlink_to("context")
    assert project_configuration(context).modes == project_configuration(tmp_path / "name").modes == "git"
    secret = tmp_path / "secret"
    secret.write_text("secret = 'hush'")
    for target in ("../secret", str(secret), "../context-missing"):
        (context / "lamina.toml").unlink()
        (context / "lamina.toml").symlink_to(target)
        told = wrong(context)
        assert "hush" not in f"{told.message}{told.cause}{told.hint}"
    (context / "lamina.toml").unlink()
    (context / "lamina.toml").symlink_to("gone")
    assert wrong(context).cause == "No such file or directory"


def test_a_context_that_is_here_brings_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    assert here(tmp_path, None).configuration == Configuration()
    said(tmp_path, 'modes = "git"')
    assert here(tmp_path, None).configuration == Configuration(modes="git")


def test_a_project_without_the_file_does_not_pay_for_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from lamina.workshop.config import project_configuration; "
        "project_configuration(Path(sys.argv[1])); print('tomllib' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program, tmp_path], env=environment, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_the_page_has_every_key_and_what_may_be_written() -> None:
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    told = {section.partition("\n")[0]: section for section in sections}
    assert list(told) == [f"`{key}`" for key in known_keys()]
    for key, writable in known_keys().items():
        first = told[f"`{key}`"].split("\n")[2].replace("`", "")
        assert first.startswith(f"{writable}; by default "), key
