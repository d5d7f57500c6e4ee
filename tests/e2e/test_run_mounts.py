"""`RUN --mount`: binds, cache folders, memory, secrets and agents, and that nothing of them stays."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import Command, project, write

SECRET = b"quite-secret-9d41c7e2b05f"


def test_a_bind_of_the_context_is_read_only_and_keyed_by_its_content(lamina: Command, tmp_path: Path) -> None:
    text = """FROM busybox
WORKDIR /work
RUN --mount=target=src,source=app cat src/a > /a; touch src/new 2>/dev/null || echo refused >> /a; ls src >> /a
RUN --mount=type=bind,source=app/a,target=/one cat /one > /b
CMD cat /a /b; ls -d /one /work/*
"""
    folder = project(
        tmp_path / "p", text, {"app/a": "1\n", "app/hidden": "x", ".dockerignore": "app/hidden\n", "z": ""}
    )
    lamina.build(folder, "-t", "x").ok()
    done = lamina.run("run", "x")
    assert done.out == "1\nrefused\na\n1\n" and "/one" in done.err
    assert lamina.build(write(folder, {"z": "changed", "app/hidden": "y"})).verdicts() == {}
    done = lamina.build(write(folder, {"app/a": "2\n"}))
    assert [row.verdict for row in done.rows if row.text.startswith("RUN")] == ["CHANGED", "CHANGED"]
    assert done.row("RUN --mount=target").files == {"app/a": "content"}


def test_a_bind_that_may_be_written_forgets(lamina: Command, tmp_path: Path) -> None:
    text = """FROM busybox AS made
RUN mkdir -p /d && echo old > /d/f
FROM busybox
RUN --mount=from=made,source=/d,target=/d,rw echo new > /d/f; echo more > /d/g; cat /d/f > /seen
RUN --mount=from=made,source=/d,target=/d cat /d/f >> /seen; ls /d >> /seen
RUN --mount=from=busybox,target=/image test -x /image/bin/sh && echo image >> /seen
"""
    lamina.build(project(tmp_path / "p", text), "-t", "x").ok()
    assert lamina.run("run", "x", "sh", "-c", "cat /seen; ls -d /d /image").out == "new\nold\nf\nimage\n"


def test_a_cache_folder_outlives_builds_and_no_cache(lamina: Command, tmp_path: Path) -> None:
    text = """FROM busybox
RUN --mount=type=cache,target=/c,mode=0700,uid=12 echo x >> /c/log; cp /c/log /log; stat -c %a:%u /c > /s
"""
    folder = project(tmp_path / "p", text)
    lamina.build(folder, "-t", "x").ok()
    assert lamina.build(folder).verdicts() == {}
    lamina.build(folder, "--no-cache", "-t", "x").ok()
    assert lamina.run("run", "x", "sh", "-c", "cat /log /s; ls -d /c").out == "x\nx\n700:12\n"


def test_cache_folders_are_listed_and_deleted(lamina: Command, tmp_path: Path) -> None:
    text = "FROM busybox\nRUN --mount=type=cache,target=/c,id=mine head -c 5000 /dev/zero > /c/f\n"
    folder = project(tmp_path / "p", text)
    lamina.build(folder).ok()
    listed = lamina.run("cache", "mounts").ok().out.splitlines()
    assert (len(listed), listed[1].split()[0]) == (2, "mine")
    assert "cache mounts" in lamina.run("cache", "du").ok().out
    assert lamina.run("cache", "mounts", "--delete", "--older-than", "1d").ok().out == "deleted 0 cache mounts\n"
    assert lamina.run("cache", "mounts", "--delete").ok().out == "deleted 1 cache mounts\n"
    assert len(lamina.run("cache", "mounts").ok().out.splitlines()) == 1
    lamina.verify()


def test_the_host_name_can_be_chosen(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM busybox\nRUN hostname > /name\n")
    lamina.build(folder, "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=builder", "-t", "x").ok()
    assert lamina.run("run", "x", "cat", "/name").out == "builder\n"
    assert lamina.build(folder).verdicts() != {}


def test_cache_folders_go_where_the_user_says(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM busybox\nRUN --mount=type=cache,target=/c,id=mine echo kept > /c/f\n")
    lamina.build(folder, "--cache-mount-root", tmp_path / "mounts").ok()
    assert [path.read_text() for path in (tmp_path / "mounts").rglob("f")] == ["kept\n"]


def test_a_cache_folder_begins_with_the_files_of_a_stage(lamina: Command, tmp_path: Path) -> None:
    text = """FROM busybox AS seed
RUN mkdir /s && echo seeded > /s/f
FROM busybox
RUN --mount=type=cache,target=/c,from=seed,source=/s cat /c/f > /f && echo more >> /c/f
"""
    folder = project(tmp_path / "p", text)
    lamina.build(folder, "-t", "x").ok()
    assert lamina.run("run", "x", "cat", "/f").out == "seeded\n"
    lamina.build(folder, "-t", "x", "--no-cache").ok()
    assert lamina.run("run", "x", "cat", "/f").out == "seeded\nmore\n"


def test_a_tmpfs_is_empty_and_gone_afterwards(lamina: Command, tmp_path: Path) -> None:
    text = """FROM busybox
RUN mkdir /t && echo below > /t/f
RUN --mount=type=tmpfs,target=/t,size=1m ls /t > /seen; head -c 3000000 /dev/zero > /t/big || echo full >> /seen
CMD cat /seen /t/f
"""
    lamina.build(project(tmp_path / "p", text), "-t", "x").ok()
    assert lamina.run("run", "x").out == "full\nbelow\n"


def test_a_secret_is_found_nowhere_afterwards(lamina: Command, tmp_path: Path) -> None:
    text = """FROM busybox
RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /size; stat -c %a:%u /run/secrets/token >> /size
RUN --mount=type=secret,id=token,env=TOKEN,required test ${#TOKEN} = 25 && env | grep -c TOKEN
RUN --mount=type=secret,id=other,target=/etc/other,mode=0444,uid=5,gid=6 stat -c %a:%u:%g /etc/other >> /size
RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent
"""
    folder = project(tmp_path / "p", text)
    (tmp_path / "value").write_bytes(SECRET)
    flags = ("--secret", f"id=token,src={tmp_path / 'value'}", "--secret", "id=other,env=OTHER")
    lamina = Command(lamina.root, env={"OTHER": SECRET.decode()})
    done = lamina.build(folder, *flags, "-t", "x", "-o", f"type=oci,dest={tmp_path / 'x.tar'}").ok()
    assert lamina.run("run", "x", "sh", "-c", "cat /size; ls /run").out == "25\n400:0\n444:5:6\n"
    assert SECRET.decode() not in done.err + done.out + lamina.run("history", "--no-trunc", "x").out
    # The layers of the archive are compressed: the files of the store are not.
    for path in (*lamina.root.rglob("*"), tmp_path / "x.tar"):
        if path.is_file() and not path.is_symlink():
            assert SECRET not in path.read_bytes(), path
    (tmp_path / "value").write_bytes(b"another one")
    assert lamina.build(folder, *flags).verdicts() == {}


def test_a_secret_that_is_required_and_absent(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM busybox\nRUN --mount=type=secret,id=key,required true\n")
    done = lamina.run("build", folder)
    assert done.code == 5
    assert "step-secret-missing" in done.err and "Dockerfile:2" in done.err and "--secret id=key" in done.err


def test_a_script_in_a_heredoc(lamina: Command, tmp_path: Path) -> None:
    text = """FROM busybox
ENV NAME=world
RUN <<EOF
set -e
echo "hello $NAME" > /a
EOF
RUN <<-"EOF" cat > /b
\tnot $NAME
\tEOF
RUN <<TOOL
#!/bin/sh
echo "$0" > /c
TOOL
COPY <<one <<"two" /d/
$NAME
one
$NAME
two
"""
    folder = project(tmp_path / "p", text)
    lamina.build(folder, "-t", "x").ok()
    done = lamina.run("run", "x", "sh", "-c", "cat /a /b /c /d/one /d/two; stat -c %a:%u /d/one; ls /dev/pipes")
    assert done.out == "hello world\nnot $NAME\n/dev/pipes/TOOL\nworld\n$NAME\n644:0\n"
    assert lamina.build(folder).verdicts() == {}
    done = lamina.build(write(folder, {"Dockerfile": text.replace("not $NAME", "never $NAME")}))
    assert done.row("COPY").verdict == "rebuilds"
