"""The log of a build on a good and on a full disk."""

from __future__ import annotations

from pathlib import Path

from lamina.report.logfile import LogFile


def test_what_is_written_is_there(tmp_path: Path) -> None:
    with LogFile(tmp_path / "log") as log:
        assert log.write("one \udcff\n") == 6
        log.flush()
        assert (tmp_path / "log").read_bytes() == b"one \xff\n"
    log.write("after the end")
    assert (tmp_path / "log").read_bytes() == b"one \xff\n"


def test_a_full_disk_ends_the_log_alone() -> None:
    with LogFile(Path("/dev/full")) as log:
        assert log.write("x" * 100_000) == 100_000
        log.flush()
        log.write("more")
        log.flush()


def test_a_log_that_cannot_be_opened_is_none(tmp_path: Path) -> None:
    with LogFile(tmp_path / "missing" / "log") as log:
        assert log.write("x") == 1
        log.flush()
