"""Reading `-o`, and files that appear when they are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.diagnostics import BuildFailure
from lamina.workshop.annotations import Annotations
from lamina.workshop.outputs import Output, parse_output
from lamina.workshop.written import written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("out", Output("local", "out")),
        ("-", Output("tar", "-")),
        ("dest=out", Output("local", "out")),
        ("type=tar,dest=-", Output("tar", "-")),
        ("type=oci,dest=a.tar", Output("oci", "a.tar")),
        ("type=docker,dest=a.tar", Output("docker", "a.tar", docker_types=True)),
        ("type=docker,dest=a,oci-mediatypes=true", Output("docker", "a")),
        ("type=oci,dest=a,oci-mediatypes=false", Output("oci", "a", docker_types=True)),
        ("type=oci,dest=dir,tar=false", Output("oci", "dir", as_tar=False)),
        ("type=oci,dest=x=y", Output("oci", "x=y")),
        ("type=oci,dest=a,name=x:1;y:2", Output("oci", "a", ("x:1", "y:2"))),
        ("type=oci,dest=a,compression=zstd,compression-level=19", Output("oci", "a", (), "zstd", 19)),
        ("type=oci,dest=a,compression-level=0", Output("oci", "a", level=0)),
        ("type=oci,dest=a,compression=uncompressed", Output("oci", "a", (), "uncompressed")),
        ("type=oci,dest=a,compression-level=9", Output("oci", "a", level=9)),
        ('type=oci,dest=a,"name=x:1,y:2"', Output("oci", "a", ("x:1", "y:2"))),
        ("type=registry", Output("image", push=True)),
        ("type=registry,name=r.example/x", Output("image", "", ("r.example/x",), push=True)),
        ("type=image,name=x", Output("image", "", ("x",))),
        ("type=image,name=x,push=true,force-compression=true", Output("image", "", ("x",), force=True, push=True)),
        ("type=image,push-by-digest=true,name-canonical=true,push=true", Output("image", push=True, by_digest=True)),
        (
            'type=image,annotation.a=1,annotation-index.b=2,"annotation-manifest.c=3,4"',
            Output("image", annotations=Annotations({"a": "1", "c": "3,4"}, {"b": "2"})),
        ),
    ],
)
def test_what_is_understood(text: str, expected: Output) -> None:
    assert parse_output(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("type=oci", "dest is missing"),
        ("type=oci,dest=", "dest is missing"),
        ("type=floppy,dest=a", "'floppy'"),
        ("type=oci,dest=a,speed=9", "speed"),
        ("type=oci,dest=a,compression=rar", "rar"),
        ("type=oci,dest=a,compression-level=high", "compression-level"),
        ("type=oci,dest=a,compression-level=-1", "compression-level"),
        ("type=oci,dest=a,compression-level=", "compression-level"),
        ("type=oci,dest=a,compression-level=²", "compression-level"),
        ("type=oci,dest=a,compression-level=10", "ends at 9"),
        ("type=oci,dest=a,compression=zstd,compression-level=23", "ends at 22"),
        ("type=oci,dest=a,compression=uncompressed,compression-level=1", "ends at 0"),
        ("type=registry,dest=a", "type=registry has no dest"),
        ("type=local,dest=a,compression=gzip", "type=local has no compression"),
        ("type=tar,dest=a,annotation.x=1", "annotation.x"),
        ("type=image,annotation-manifest-descriptor.x=1", "annotation-manifest-descriptor.x"),
        ("type=image,push=yes", "push is true or false"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    with pytest.raises(BuildFailure, match=told) as caught:
        parse_output(text)
    assert caught.value.diagnostic.reference == "usage-output"
    assert text in str(caught.value)


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"old")
    with written(str(path), "an archive") as stream:
        stream.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_output_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), written(str(path), "an archive") as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BuildFailure) as caught, written(str(tmp_path / "missing" / "a.tar"), "an archive"):
        raise AssertionError("it was opened")
    assert caught.value.diagnostic.reference == "image-output-failed"
    assert caught.value.diagnostic.cause == "No such file or directory"
