"""`--observe` for steps that look at hundreds of files: no wrong hit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.e2e.test_observe import control, observed, same_as_without
from tests.support.command import Command, project

__all__ = ["control"]

FOLDERS, FILES = 10, 100
STEP = "cat /app/d0/* > /out; cat /app/d1/* >> /out; cat /app/d2/* >> /out; "
#: What a step does behind that with the next folder, by name.
COMMANDS = {
    "only": "true",
    "names": "echo /app/d3/* >> /out",
    "stat": "stat -c '%s %a' /app/d3/f07 >> /out",
    "listed": "ls /app/d3 > /dev/null; stat -c '%s %a' /app/d3/f07 >> /out",
    "read": "cat /app/d3/* >> /out",
    "one": "ls /app/d3 > /dev/null; cat /app/d3/f07 >> /out",
    "written": "echo /app/d3/* >> /out; echo more >> /app/d3/f07",
    "removed": "rm -r /app/d3",
    "absent": "ls /app/d3 > /dev/null; [ -e /app/d3/new ]; echo $? >> /out",
}
MUST_RUN = {
    "content": {"stat", "listed", "read", "one", "written"},
    "mode": {"stat", "listed", "read", "one", "written"},
    "new": {"names", "read", "written", "removed", "absent", "listed", "one"},
    "gone": set(COMMANDS) - {"only"},
}


def edit(folder: Path, what: str) -> None:
    file = folder / "d3/f07"
    if what == "content":
        file.write_text("another text\n")
    elif what == "mode":
        file.chmod(0o755)
    elif what == "new":
        (folder / "d3/new").touch()
    else:
        file.unlink()


@pytest.mark.parametrize("what", MUST_RUN)
def test_no_look_escapes_behind_many(lamina: Command, control: Command, tmp_path: Path, what: str) -> None:
    lines = ["FROM busybox AS all", "COPY . /app"]
    for name, command in COMMANDS.items():
        lines += [f"FROM all AS {name}", f"RUN {STEP}{command} || :"]
    lines += ["FROM busybox", *(f"COPY --from={name} /out /out/{name}" for name in COMMANDS)]
    files = {f"d{folder}/f{name:02}": f"{folder} {name}\n" for folder in range(FOLDERS) for name in range(FILES)}
    folder = project(tmp_path / "p", "\n".join(lines) + "\n", {**files, ".dockerignore": "Dockerfile\n.dockerignore\n"})
    (folder / "d0/f00").write_text("")
    output = ("-o", f"type=docker,dest={folder}.tar")
    every = observed(lamina, folder, *output)
    assert set(every.values()) == {"ran"}

    # Nobody looks there, and it has no attributes either.
    (folder / "d7/f07").write_text("unseen\n")
    assert set(observed(lamina, folder, *output).values()) == {"observation"}
    same_as_without(control, folder)

    edit(folder, what)
    found = observed(lamina, folder, *output)
    assert MUST_RUN[what] <= {name for name, how in found.items() if how == "ran"}
    assert found["only"] == "observation"
    same_as_without(control, folder)

    os.utime(folder / "d2/f99", ns=(0, 5))
    (folder / "d2/f99").write_text("2 98\n")
    assert set(observed(lamina, folder, *output).values()) == {"ran"}
    same_as_without(control, folder)
