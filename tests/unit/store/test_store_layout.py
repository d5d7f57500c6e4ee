"""Opening a store: creation, formats, places that cannot be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.diagnostics import BuildFailure
from lamina.store.layout import FORMAT, base36, open_layout
from lamina.store.store import Store


def reference_of(root: Path) -> str:
    with pytest.raises(BuildFailure) as caught:
        Store.open(root)
    assert str(root) in caught.value.diagnostic.message
    assert caught.value.diagnostic.hint is not None
    return caught.value.diagnostic.reference


def test_a_new_store_has_its_format_and_places(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "store"
    Store.open(root).close()
    assert (root / "format").read_text() == f"{FORMAT}\n"
    names = {path.name for path in root.iterdir() if path.is_dir()}
    assert names == {"blobs", "layers", "facts", "tmp", "locks", "logs", "mounts"}
    assert root.stat().st_mode & 0o777 == 0o700
    with Store.open(root) as store:
        assert store.images.list() == ()


def test_a_relative_root_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store.open(Path("store")) as store:
        monkeypatch.chdir("/")
        store.blobs.put(b"x")
    assert (tmp_path / "store" / "format").exists()


def test_a_newer_format_is_refused_untouched(tmp_path: Path) -> None:
    root = tmp_path / "store"
    Store.open(root).close()
    (root / "format").write_text("99\n")
    before = (root / "index.db").read_bytes()
    assert reference_of(root) == "store-newer-format"
    assert (root / "index.db").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"one", b"\xff\xfe", b"-1"])
def test_a_format_that_is_no_number(tmp_path: Path, content: bytes) -> None:
    Store.open(tmp_path / "store").close()
    (tmp_path / "store" / "format").write_bytes(content)
    assert reference_of(tmp_path / "store") == "store-not-a-store"


def test_a_file_is_no_store_and_neither_is_what_lies_below_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert reference_of(tmp_path / "file") == "store-not-a-directory"
    assert reference_of(tmp_path / "file" / "store") == "store-not-a-directory"


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    assert reference_of(tmp_path) == "store-not-a-store"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_empty_directory_becomes_a_store(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    assert (tmp_path / "format").exists()


def test_an_older_format_is_brought_up(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    (tmp_path / "format").write_text("0\n")
    Store.open(tmp_path).close()
    assert (tmp_path / "format").read_text() == f"{FORMAT}\n"


def test_a_root_whose_name_is_no_utf8(tmp_path: Path) -> None:
    root = tmp_path / "st\udcffore #?%"
    with Store.open(root) as store:
        store.blobs.put(b"x")
    with Store.open(root) as store:
        assert len(list(store.layout.blobs.iterdir())) == 1


@pytest.mark.parametrize(("number", "name"), [(0, "0"), (35, "z"), (36, "10"), (46655, "zzz"), (1679616, "10000")])
def test_layer_names_are_short(number: int, name: str) -> None:
    assert base36(number) == name
    assert int(name, 36) == number


def test_the_paths_of_120_layers_fit_a_page(tmp_path: Path) -> None:
    root = Path("/home/somebody/.local/share/lamina")
    with Store.open(tmp_path) as store:
        del store
    layout = open_layout(tmp_path)
    names = [str(root / layout.layer(40000 + number).relative_to(tmp_path.resolve())) for number in range(80)]
    assert len(":".join(names)) < 4096
    assert len(":".join(layout.layer(40000 + number).name for number in range(500))) < 4096
