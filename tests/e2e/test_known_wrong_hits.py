"""Bugs by which other builders gave old or wrong files in an image that they said was fine: none of them is ours.

Each test is named by the thread, or by the switch that mends it; its first line says what the other builder did. Those
without a test here:

- acorn-io/runtime PR#151, earthly#2317: BuildKit's comparison of size and time again, see `buildkit_2592`;
  kaniko#1533: like `kaniko_589`.
- kaniko's SECUREJOIN_EXTRACTION: `tests/faults/test_hostile_layers.py`; NO_PROPAGATE_ANNOTATIONS, OCI_SCRATCH_BASE:
  what an output holds, `test_outputs.py`.
- kaniko's REPRODUCIBLE_PRESERVE_BASE_LAYERS, SKIP_RELABEL_RECOMPRESS: layers are written once and never rewritten.
- kaniko's RUN_VIA_TINI: `tests/contract/test_runner_lifetime.py`; CROSS_REPO_MOUNT, PATH_SCOPED_REGISTRY_AUTH,
  DISABLE_HTTP2: nothing is cached in a registry.
- Docker's meanings that are no matter of the cache (what is refused, how a configuration is inherited, which files an
  ignore file means): `tests/oracle`.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from tests.support.command import Command, Completed, project, write

#: A file that is older than this is not read again while it looks the same.
SETTLED = 2.05
LONG_AGO = 1_000_000_000


@dataclass
class Builder:
    """Builds into directories: `files` are those of the image that came last."""

    command: Command
    folder: Path
    numbers: count[int]
    files: Path
    done: Completed

    def build(self, context: Path, *flags: str | Path) -> dict[str, str]:
        """Build; returns what did not come from the cache."""
        self.files = self.folder / f"image-{next(self.numbers)}"
        self.done = self.command.build(context, *flags, "-o", self.files)
        return self.done.verdicts()

    def text(self, name: str) -> str:
        return (self.files / name).read_text()

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.files / folder).iterdir())


@pytest.fixture
def builder(lamina: Command, tmp_path: Path) -> Builder:
    return Builder(lamina, tmp_path, count(), tmp_path, Completed(0, b"", b""))


def same_times(path: Path, text: str) -> None:
    """Write a file whose size and time stay as they were."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size and path.stat().st_mtime_ns == before.st_mtime_ns


# --- the build context -----------------------------------------------------------------------------------------------
def test_buildkit_2592_same_size_and_mtime(builder: Builder, tmp_path: Path) -> None:
    """BuildKit compares name, size and time of a file, and keeps the one that it has."""
    context = project(tmp_path / "p", "FROM scratch\nCOPY f /\nCOPY d /d\n", {"f": "old\n", "d/f": "old\n"})
    builder.build(context)
    same_times(context / "f", "new\n")
    assert builder.build(context) == {"COPY f /": "CHANGED", "COPY d /d": "rebuilds"}
    time.sleep(SETTLED)
    assert builder.build(context) == {}
    same_times(context / "d/f", "new\n")
    assert builder.build(context) == {"COPY d /d": "CHANGED"}
    assert (builder.text("f"), builder.text("d/f")) == ("new\n", "new\n")


def test_buildkit_4817_a_checkout_anew_with_fixed_times(builder: Builder, tmp_path: Path) -> None:
    """BuildKit keeps the old files when the directory is deleted and made again with the same times."""
    for text in ("one\n", "two\n"):
        shutil.rmtree(tmp_path / "p", ignore_errors=True)
        context = project(tmp_path / "p", "FROM scratch\nCOPY . /\n", {"f": text})
        for path in (context / "f", context / "Dockerfile", context):
            os.utime(path, (LONG_AGO, LONG_AGO))
        assert builder.build(context) != {}
        assert builder.text("f") == text


def test_buildkit_4950_a_file_gets_the_contents_of_another(builder: Builder, tmp_path: Path) -> None:
    """BuildKit gives a file of one directory the contents of one of the same name, size and time in another."""
    text = "FROM scratch\nCOPY f /\n"
    for content in ("one\n", "two\n"):
        context = project(tmp_path / content.strip() / "p", text, {"f": content})
        os.utime(context / "f", (LONG_AGO, LONG_AGO))
        builder.build(context)
        assert builder.text("f") == content


def test_moby_51518_a_generated_file_with_a_fixed_time(builder: Builder, tmp_path: Path) -> None:
    """BuildKit misses that a file which a tool writes with a fixed time was replaced by another of the same size."""
    context = project(tmp_path / "p", "FROM scratch\nCOPY f /\n", {"f": "one\n"})
    for content in ("one\n", "two\n", "six\n"):
        draft = write(context, {"draft": content}) / "draft"
        os.utime(draft, (LONG_AGO, LONG_AGO))
        draft.replace(context / "f")
        assert builder.build(context) != {}
        assert builder.text("f") == content


def test_buildkit_1368_two_dockerfiles_of_one_context(builder: Builder, tmp_path: Path) -> None:
    """BuildKit takes the other Dockerfile when it has the same size and time."""
    context = write(
        tmp_path / "p", {"a/Dockerfile": "FROM scratch\nCOPY a /\n", "b/Dockerfile": "FROM scratch\nCOPY b /\n"}
    )
    write(context, {"a/a": "", "b/b": ""})
    for name in ("a", "b"):
        os.utime(context / name / "Dockerfile", (LONG_AGO, LONG_AGO))
    for name in ("a", "b", "a"):
        builder.build(context, "-f", context / name / "Dockerfile")
        assert builder.names(".") == ["Dockerfile", name]


def test_buildkit_7176_directory_mode(builder: Builder, tmp_path: Path) -> None:
    """BuildKit does not see that a directory's mode changed, and a later COPY that did not change misses."""
    context = project(tmp_path / "p", "FROM scratch\nCOPY d /d\nCOPY e /e\n", {"d/s/t/f": "x", "e": "e"})
    builder.build(context)
    for path, mode in (("d/s", 0o700), ("d/s/t", 0o750)):
        (context / path).chmod(mode)
        assert builder.build(context) == {"COPY d /d": "CHANGED", "COPY e /e": "rebuilds"}
        assert (builder.files / path).stat().st_mode & 0o777 == mode
        assert builder.build(context) == {}


def test_buildkit_853_moby_38964_the_second_of_two_sources(builder: Builder, tmp_path: Path) -> None:
    """BuildKit looked at the first of two sources alone: `COPY Gemfile Gemfile.lock ./`."""
    context = project(
        tmp_path / "p", "FROM scratch\nCOPY Gemfile Gemfile.lock /\n", {"Gemfile": "g", "Gemfile.lock": "1"}
    )
    builder.build(context)
    for name in ("Gemfile.lock", "Gemfile"):
        write(context, {name: f"new {name}"})
        assert builder.build(context) == {"COPY Gemfile Gemfile.lock /": "CHANGED"}
        assert builder.text(name) == f"new {name}"


def test_buildkit_2008_a_rename_under_a_wildcard(builder: Builder, tmp_path: Path) -> None:
    """BuildKit hit when a file that a wildcard matches was renamed."""
    context = project(tmp_path / "p", "FROM scratch\nCOPY *.txt /d/\n", {"a.txt": "same"})
    builder.build(context)
    (context / "a.txt").rename(context / "b.txt")
    assert builder.build(context) == {"COPY *.txt /d/": "CHANGED"}
    assert builder.names("d") == ["b.txt"]


def test_kaniko_2241_renamed_file(builder: Builder, tmp_path: Path) -> None:
    """Kaniko leaves the names of files out of the key of a copied directory."""
    context = project(tmp_path / "p", "FROM scratch\nCOPY d /d\nCOPY . /all\n", {"d/a": "one", "d/b": "two"})
    builder.build(context)
    (context / "d/a").rename(context / "d/c")
    assert builder.build(context)["COPY d /d"] == "CHANGED"
    assert builder.names("d") == builder.names("all/d") == ["b", "c"]
    (context / "d/c").rename(context / "d/x")
    (context / "d/b").rename(context / "d/c")
    (context / "d/x").rename(context / "d/b")  # the two have changed their names
    builder.build(context)
    assert (builder.text("d/b"), builder.text("d/c")) == ("one", "two")


def test_moby_9391_times_and_owners_of_the_context_do_not_count(builder: Builder, tmp_path: Path) -> None:
    """Docker once had times in the key, and people still think so."""
    context = project(tmp_path / "p", "FROM scratch\nCOPY . /\n", {"d/a": "one"})
    builder.build(context)
    for path in (context / "d/a", context / "d", context):
        os.utime(path, (LONG_AGO, LONG_AGO))
        os.chown(path, 12, 34)
    assert builder.build(context) == {}
    assert (builder.files / "d/a").stat().st_uid == 0


def test_moby_46708_buildkit_4374_chmod_makes_modes_irrelevant(builder: Builder, tmp_path: Path) -> None:
    """Docker and BuildKit miss when a mode changed that --chmod replaces."""
    context = project(tmp_path / "p", "FROM scratch\nCOPY --chmod=600 f /\n", {"f": "x"})
    builder.build(context)
    (context / "f").chmod(0o777)
    assert builder.build(context) == {}
    assert (builder.files / "f").stat().st_mode & 0o777 == 0o600


# --- stages ----------------------------------------------------------------------------------------------------------
MADE = (
    "FROM busybox AS made\nCOPY in /\nRUN mkdir /o && cp /in /o/page.html && echo same > /o/same.html\nFROM scratch\n"
)


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param("COPY --from=made /o/*.html /", id="kaniko_589_glob"),
        pytest.param("COPY --from=made /o /", id="kaniko_870_directory"),
        pytest.param("COPY --from=made /o/page.html /", id="kaniko_1262_file"),
    ],
)
def test_kaniko_589_870_1262_copy_from_a_stage_that_changed(builder: Builder, tmp_path: Path, copy: str) -> None:
    """Kaniko hits for `COPY --from` although the other stage came out differently."""
    context = project(tmp_path / "p", MADE + copy, {"in": "old"})
    builder.build(context)
    builder.build(write(context, {"in": "new"}))
    assert builder.text("page.html") == "new"
    builder.build(write(context, {"in": "old"}))
    assert builder.text("page.html") == "old"


def test_kaniko_scoped_dockerignore(builder: Builder, tmp_path: Path) -> None:
    """Kaniko applied the ignore file to `COPY --from` too: files of a stage were missing in the key."""
    context = project(tmp_path / "p", MADE + "COPY --from=made /o /\n", {"in": "old", ".dockerignore": "*\n!in\n"})
    builder.build(context)
    builder.build(write(context, {"in": "new"}))
    assert (builder.text("page.html"), builder.text("same.html")) == ("new", "same\n")


def test_kaniko_infer_cross_stage_cache_key(builder: Builder, tmp_path: Path) -> None:
    """Kaniko builds and unpacks a stage only to know the key of a COPY from it."""
    context = project(tmp_path / "p", MADE + "COPY --from=made /o /\n", {"in": "x"})
    builder.build(context)
    assert builder.build(context) == {}
    assert not any(event["event"] == "output" for event in builder.done.events)


def test_kaniko_cache_probe_after_miss(builder: Builder, tmp_path: Path) -> None:
    """Kaniko looks nothing up any more after the first miss."""
    text = "FROM busybox\nRUN echo {0} > /dev/null\nCOPY f /\nRUN cp /f /g\n"
    context = project(tmp_path / "p", text.format(1), {"f": "x"})
    builder.build(context)
    assert builder.build(write(context, {"Dockerfile": text.format(2)})) == {"RUN echo 2 > /dev/null": "CHANGED"}


def test_kaniko_skip_write_whiteouts(builder: Builder, tmp_path: Path) -> None:
    """Kaniko wrote `.wh.` files when it restored a layer, and copied them onward: hits and misses gave other images."""
    text = (
        "FROM busybox AS a\nRUN mkdir /d && touch /d/1 /d/2\nRUN rm /d/1\nFROM scratch\nCOPY --from=a /d /d\nCOPY f /\n"
    )
    context = project(tmp_path / "p", text, {"f": "x"})
    builder.build(context)
    assert builder.names("d") == ["2"]
    builder.build(write(context, {"f": "y", "Dockerfile": text.replace("/d /d", "/d /e")}))
    assert builder.names("e") == ["2"]


def test_kaniko_preserve_hardlinks(builder: Builder, tmp_path: Path) -> None:
    """Kaniko's `COPY --from` made two files of two names of one."""
    text = "FROM busybox AS a\nRUN mkdir /d && echo x > /d/1 && ln /d/1 /d/2\nFROM scratch\nCOPY --from=a /d /d\n"
    builder.build(project(tmp_path / "p", text))
    assert (builder.files / "d/1").samefile(builder.files / "d/2")


# --- variables and arguments -----------------------------------------------------------------------------------------
def test_kaniko_690_728_1688_an_argument_that_only_the_environment_shows(builder: Builder, tmp_path: Path) -> None:
    """Kaniko left arguments out of the key of a RUN whose text does not name them."""
    text = "FROM busybox\nARG VERSION\nARG MODE\nENV MODE=$MODE\nRUN env > /env\nRUN echo $VERSION$MODE > /named\n"
    context = project(tmp_path / "p", text)
    for version, mode in (("1", "x"), ("2", "x"), ("2", "y")):
        verdicts = builder.build(context, "--build-arg", f"VERSION={version}", "--build-arg", f"MODE={mode}")
        assert len(verdicts) == 2
        assert {f"VERSION={version}", f"MODE={mode}"} <= set(builder.text("env").split())
        assert builder.text("named") == f"{version}{mode}\n"


def test_buildah_5501_env_from_arg(builder: Builder, tmp_path: Path) -> None:
    """Buildah uses the cache of a RUN below an ENV that takes another value from an ARG."""
    context = project(tmp_path / "p", 'FROM busybox\nARG A=1\nENV B="$A"\nRUN echo $B > /b\nRUN env > /env\n')
    builder.build(context)
    builder.build(context, "--build-arg", "A=2")
    assert builder.text("b") == "2\n" and "B=2\n" in builder.text("env")
    assert "B=2" in builder.command.run("inspect", builder.done.image).ok().out


def test_kaniko_resolve_cache_key_workdir_arg(builder: Builder, tmp_path: Path) -> None:
    """Kaniko keyed `WORKDIR /$A` and `COPY f /$A/` by their text: an old hit when A changes."""
    text = "FROM scratch\nARG A=one\nWORKDIR /w/$A\nCOPY f /c/$A/\nCOPY f$A /s/\n"
    context = project(tmp_path / "p", text, {"f": "x", "fone": "1", "ftwo": "2"})
    for value in ("one", "two", "one"):
        builder.build(context, "--build-arg", f"A={value}")
        assert (builder.names("w"), builder.names("c"), builder.names("s")) == ([value], [value], [f"f{value}"])


def test_kaniko_expand_heredoc(builder: Builder, tmp_path: Path) -> None:
    """Kaniko did not expand a heredoc of COPY, nor key it by what comes of it."""
    text = "FROM scratch\nARG A=one\nCOPY <<EOF /plain\n$A\nEOF\nCOPY <<'EOF' /quoted\n$A\nEOF\n"
    context = project(tmp_path / "p", text)
    for value in ("one", "two"):
        builder.build(context, "--build-arg", f"A={value}")
        assert (builder.text("plain"), builder.text("quoted")) == (f"{value}\n", "$A\n")


def test_kaniko_rolling_cache_key_parts_that_run_together(builder: Builder, tmp_path: Path) -> None:
    """Kaniko's key parts were not told apart: `ab` and `c` had the key of `a` and `bc`."""
    text = 'FROM busybox\nENV A="{0}" B="{1}"\nRUN echo "<$A><$B>" > /f\n'
    for one, other in (("a", "bc"), ("ab", "c"), ("a B=b", "c"), ("a", " B=bc")):
        builder.build(project(tmp_path / "p", text.format(one, other)))
        assert builder.text("f") == f"<{one}><{other}>\n"


def test_kaniko_hash_dir_framing(builder: Builder, tmp_path: Path) -> None:
    """Kaniko hashed names and contents of a directory without frames: other files, the same key."""
    for files in ({"d/a": "bc"}, {"d/ab": "c"}, {"d/a": "b", "d/c": ""}, {"d/a": "", "d/bc": ""}):
        shutil.rmtree(tmp_path / "p", ignore_errors=True)
        builder.build(project(tmp_path / "p", "FROM scratch\nCOPY d /\n", files))
        assert {f"d/{path.name}": path.read_text() for path in builder.files.iterdir()} == files


def test_trap_shell_in_force(builder: Builder, tmp_path: Path) -> None:
    """A key of the text of a RUN alone hits when the SHELL above it changed."""
    text = 'FROM busybox\nSHELL ["/bin/sh", "-c"]\nRUN echo $0 $- > /f\n'
    context = project(tmp_path / "p", text)
    builder.build(context)
    before = builder.text("f")
    builder.build(write(context, {"Dockerfile": text.replace('"-c"', '"-uc"')}))
    assert builder.text("f") != before and "u" in builder.text("f")


def test_trap_default_of_the_stage_and_of_the_file(builder: Builder, tmp_path: Path) -> None:
    """A builder that mixes up the defaults of an ARG before FROM and in a stage hits with the wrong one."""
    text = "ARG A={0}\nFROM busybox\nARG A{1}\nENV B=$A\nRUN echo $A $B > /f\n"
    for outer, inner, value in (("1", "", "1"), ("2", "", "2"), ("2", "=3", "3"), ("4", "=3", "3")):
        builder.build(project(tmp_path / "p", text.format(outer, inner)))
        assert builder.text("f") == f"{value} {value}\n"


# --- RUN -------------------------------------------------------------------------------------------------------------
def test_podman_29126_bind_mount_of_another_project(builder: Builder, tmp_path: Path) -> None:
    """Podman leaves the files of a bind out of the key: one project got another's."""
    text = "FROM busybox\nRUN mkdir /out\nRUN --mount=source=./data,target=data cp data /out\n"
    for name in ("foo", "bar", "foo"):
        builder.build(project(tmp_path / name, text, {"data": name}))
        assert builder.text("out/data") == name


def test_podman_24640_22873_a_step_with_a_bind_is_cached(builder: Builder, tmp_path: Path) -> None:
    """Podman never takes a step with a bind from the cache, of a named context above all."""
    text = "FROM busybox\nRUN --mount=from=other,source=f,target=/f cat /f > /g\nRUN --mount=target=/c cat /c/h > /h\n"
    context, other = project(tmp_path / "p", text, {"h": "h"}), write(tmp_path / "other", {"f": "1"})
    builder.build(context, "--build-context", f"other={other}")
    assert builder.build(context, "--build-context", f"other={other}") == {}
    builder.build(context, "--build-context", f"other={write(other, {'f': '2'})}")
    assert (builder.text("g"), builder.text("h")) == ("2", "h")


def test_buildx_551_a_secret_is_no_part_of_the_key_and_leaves_nothing(builder: Builder, tmp_path: Path) -> None:
    """BuildKit does so too; others had the value in a layer, or a stub file where it was mounted."""
    text = "FROM busybox\nRUN --mount=type=secret,id=s test -s /run/secrets/s && echo used > /f\n"
    context, secret = project(tmp_path / "p", text), tmp_path / "s"
    for number, value in enumerate(("sesame-one", "sesame-two")):
        secret.write_text(value)
        verdicts = builder.build(context, "--secret", f"id=s,src={secret}")
        assert len(verdicts) == 1 - number
        assert not (builder.files / "run").exists()
    assert subprocess.run(["grep", "-rq", "sesame-", builder.command.root, builder.files]).returncode == 1


def test_kaniko_run_honor_group(builder: Builder, tmp_path: Path) -> None:
    """Kaniko dropped the group of `USER user:group`, for the step and for the key."""
    text = "FROM busybox\nRUN chmod 777 /root && mkdir -m 777 /w\nUSER nobody:{0}\nRUN touch /w/f\n"
    for group in (12, 34):
        builder.build(project(tmp_path / "p", text.format(group)))
        status = (builder.files / "w/f").stat()
        assert (status.st_uid, status.st_gid) == (65534, group)


# --- what a step leaves ----------------------------------------------------------------------------------------------
def test_classic_docker_and_buildah_metadata_in_the_chain(builder: Builder, tmp_path: Path) -> None:
    """For the classic builder and for Buildah one LABEL rebuilds all that stands below it."""
    text = "FROM busybox\nLABEL a={0}\nEXPOSE 8{0}\nCMD echo {0}\nHEALTHCHECK CMD echo {0}\nRUN echo > /f\nCOPY g /\n"
    context = project(tmp_path / "p", text.format(1), {"g": "x"})
    builder.build(context)
    assert builder.build(write(context, {"Dockerfile": text.format(2)})) == {}
    assert '"a": "2"' in builder.command.run("inspect", builder.done.image).ok().out


def test_kaniko_volume_skip_mkdir(builder: Builder, tmp_path: Path) -> None:
    """Kaniko made the directory of a VOLUME, with the time of the build: all keys below it changed each time."""
    text = "FROM busybox\nVOLUME /v\nRUN ls / > /names; mkdir /v && echo kept > /v/f\nCOPY f /\n"
    context = project(tmp_path / "p", text, {"f": "x"})
    builder.build(context)
    assert builder.build(context) == {}
    assert "v" not in builder.text("names").split()
    assert builder.text("v/f") == "kept\n", "what a step writes there stays"


def test_kaniko_copy_as_root_and_implied_directories(builder: Builder, tmp_path: Path) -> None:
    """Kaniko gave copied files and the directories above them the owner of USER, and hit whichever it was."""
    text = "FROM busybox\nUSER {0}\nWORKDIR /home/{0}\nCOPY f /deep/down/\n"
    text += "COPY --chown=7:8 f /own/er/\nCOPY --chmod=600 f /mo/de/\n"
    for user, uid in (("nobody", 65534), ("root", 0)):
        builder.build(project(tmp_path / "p", text.format(user), {"f": "x"}))
        facts = {
            name: ((builder.files / name).stat().st_uid, (builder.files / name).stat().st_mode & 0o777)
            for name in (f"home/{user}", "deep", "deep/down/f", "own", "own/er/f", "mo", "mo/de/f")
        }
        assert facts == {
            f"home/{user}": (uid, 0o755),
            "deep": (0, 0o755),
            "deep/down/f": (0, 0o644),
            "own": (7, 0o755),
            "own/er/f": (7, 0o644),
            "mo": (0, 0o600),
            "mo/de/f": (0, 0o600),
        }


def test_kaniko_untar_skip_root(builder: Builder, tmp_path: Path) -> None:
    """Kaniko let the entry `.` of an archive change mode and owner of the directory that it is unpacked into."""
    context = project(tmp_path / "p", "FROM busybox\nRUN mkdir -m 755 /d\nADD a.tar /d\n")
    with tarfile.open(context / "a.tar", "w") as archive:
        for name, kind in ((".", tarfile.DIRTYPE), ("./f", tarfile.REGTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid = kind, 0o700, 1234
            archive.addfile(member, io.BytesIO())
    builder.build(context)
    status = (builder.files / "d").stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o755)
    assert (builder.files / "d/f").stat().st_uid == 1234


def test_trap_opaque_directories_and_whiteouts(builder: Builder, tmp_path: Path) -> None:
    """What a builder forgets of a deletion in a layer comes back when that layer is a hit."""
    text = (
        "FROM busybox\nRUN mkdir /d && touch /d/1 /d/2\nRUN rm -r /d && mkdir /d && touch /d/3\nRUN ls /d > /seen{0}\n"
    )
    context = project(tmp_path / "p", text.format(1))
    builder.build(context)
    assert (builder.text("seen1"), builder.names("d")) == ("3\n", ["3"])
    assert builder.build(write(context, {"Dockerfile": text.format(2)})) == {"RUN ls /d > /seen2": "CHANGED"}
    assert (builder.text("seen2"), builder.names("d")) == ("3\n", ["3"])


def test_trap_onbuild_reads_the_context_of_the_child(builder: Builder, tmp_path: Path) -> None:
    """The steps of ONBUILD are keyed by the files of the build that they run in."""
    parent = project(tmp_path / "parent", "FROM busybox\nONBUILD COPY f /\nONBUILD RUN cp /f /g\n", {"f": "parent"})
    builder.command.build(parent, "-t", "parent").ok()
    child = project(tmp_path / "child", "FROM parent\nCMD true\n", {"f": "one"})
    for content in ("one", "two"):
        builder.build(write(child, {"f": content}))
        assert (builder.text("f"), builder.text("g")) == (content, content)


def test_trap_ignore_file_of_the_dockerfile(builder: Builder, tmp_path: Path) -> None:
    """`<file>.dockerignore` replaces the other: what it lets in or keeps out counts, and nothing else."""
    context = project(tmp_path / "p", "FROM scratch\nCOPY d /\n", {"d/a": "a", "d/b": "b", ".dockerignore": "d/a\n"})
    builder.build(context)
    assert builder.names(".") == ["b"]
    write(context, {"Dockerfile.dockerignore": "d\n!d/a\n"})
    assert builder.build(context) == {"COPY d /": "CHANGED"}
    assert builder.names(".") == ["a"]
    assert builder.build(write(context, {"d/b": "hidden", ".dockerignore": "nothing\n"})) == {}


def test_sonic_buildimage_28743_the_platform_is_in_the_key(builder: Builder, tmp_path: Path) -> None:
    """A home-made key without the platform gave one machine's files to another's image."""
    context = project(tmp_path / "p", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\nWORKDIR /w\n")
    write(context, {"amd64": "amd64", "arm64": "arm64"})
    for name in ("amd64", "arm64", "amd64"):
        builder.build(context, "--platform", f"linux/{name}")
        assert builder.text("arch") == name
