"""Timing real commands, and the workloads' contexts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.measure import CommandFailed, DaemonMemory, cleared, timed
from bench.peers import Lamina
from bench.workloads import Change, Steps, workloads

from lamina.cli.unchanged import qualify


def test_seconds_and_peak_of_a_tree(tmp_path: Path) -> None:
    grow = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'b = bytearray(150 << 20)'])"
    sample = timed([sys.executable, "-c", grow], os.environ, tmp_path / "log")
    assert sample.peak_mib > 150
    assert timed(["sleep", "0.2"], os.environ, tmp_path / "log").seconds >= 0.2


def test_a_failure_shows_the_output(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="exit status 3\nno such thing"):
        timed(["sh", "-c", "echo no such thing >&2; exit 3"], os.environ, tmp_path / "log")


def test_a_process_peak_can_be_forgotten() -> None:
    memory = DaemonMemory([os.getpid()])
    data = bytearray(os.urandom(1 << 20) * 100)
    high = memory.peak_mib()
    del data
    memory.reset()
    assert memory.peak_mib() < high


def test_a_place_in_which_a_process_is_still_at_work_is_deleted(tmp_path: Path) -> None:
    place = tmp_path / "place"
    (place / "store").mkdir(parents=True)
    loop = "for n in $(seq 300); do mkdir -p store; : >store/$n; rm -f store/$((n - 2)); done"
    with subprocess.Popen(["sh", "-c", f"{loop}; echo ready; {loop}"], cwd=place, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        cleared(place)
        assert not place.exists()


def test_one_file_changes_each_round(tmp_path: Path) -> None:
    workload = Change(tmp_path, 250)
    workload.prepare()
    before = contents(workload.context)
    assert len(before) == 251
    workload.begin_round(7)
    after = contents(workload.context)
    assert [path for path in before if before[path] != after[path]] == ["folder-0000/file-00.txt"]


def test_no_step_is_like_another(tmp_path: Path) -> None:
    workload = Steps(tmp_path)
    workload.prepare()
    seen: list[str] = []
    for tool in ("a", "b"):
        for number in range(2):
            for _ in workload.builds(tool, number):
                seen += (workload.context / "Dockerfile").read_text().splitlines()[1:]
    assert len(seen) == len(set(seen)) == 4 * 22


def test_lamina_is_measured_in_more_ways_where_nothing_changed(tmp_path: Path) -> None:
    """Which ways there are is in the command lines: with `--iidfile` a build has no memo."""
    tool = Lamina(tmp_path)
    measures = {workload.name: list(tool.beside(workload.name, tmp_path)) for workload in workloads(tmp_path)}
    assert measures.pop("noop-100") == ["noop-100 ordinary", "plan-100", "python -c pass"]
    assert measures.pop("noop-100000") == ["noop-100000 ordinary", "plan-100000"]
    assert measures.pop("noop-10000") == ["noop-10000 ordinary", "plan-10000"]
    assert not any(measures.values())
    ordinary = tool.beside("noop-10000", tmp_path)["noop-10000 ordinary"]
    assert qualify(tool.build_command(tmp_path)[2:], tool.environment) is not None
    assert qualify(ordinary[2:], tool.environment) is None


def contents(directory: Path) -> dict[str, bytes]:
    """Each file's content by its path."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
