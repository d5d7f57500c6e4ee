"""What is remembered of where blobs are."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lamina.digest import Digest, digest_of
from lamina.registry.sightings import NoSightings, SightingFiles

ONE, TWO = digest_of(b"one"), digest_of(b"two")


def test_what_was_noted_is_found_by_the_next_process(tmp_path: Path) -> None:
    memory = SightingFiles(tmp_path / "seen")
    assert memory.where("r.example:5000", ONE) == ()
    memory.note("r.example:5000", "a/one", [ONE, TWO, ONE])
    memory.note("r.example:5000", "b/two", [ONE])
    memory.note("r.example:5000", "a/one", [ONE])
    memory.note("other.example", "c", [TWO])
    for each in (memory, SightingFiles(tmp_path / "seen")):
        assert each.where("r.example:5000", ONE) == ("b/two", "a/one")
        assert each.where("r.example:5000", TWO) == ("a/one",)
        assert each.where("other.example", TWO) == ("c",)
        assert each.where("nowhere.example", TWO) == ()
    (file,) = [path for path in (tmp_path / "seen").iterdir() if "5000" in path.name]
    assert file.read_text().count("\n") == 3


@pytest.mark.parametrize("registry", ["../../etc", "a/b", "[::1]:5000"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, registry: str) -> None:
    SightingFiles(tmp_path / "seen").note(registry, "a", [ONE])
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]
    assert len(list((tmp_path / "seen").iterdir())) == 1
    assert SightingFiles(tmp_path / "seen").where(registry, ONE) == ("a",)


def test_damage_and_a_folder_that_cannot_be_written_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen/r.example").write_bytes(b"\xff\xfe nonsense\n\nhalf a lin")
    memory = SightingFiles(tmp_path / "seen")
    assert memory.where("r.example", ONE) == ()
    (tmp_path / "file").write_text("")
    blocked = SightingFiles(tmp_path / "file")
    blocked.note("r.example", "a", [ONE])
    assert blocked.where("r.example", ONE) == ("a",)
    NoSightings().note("r.example", "a", [ONE])
    assert NoSightings().where("r.example", ONE) == ()


def test_the_files_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.registry.sightings._MAX_BYTES", 4000)
    digests = [digest_of(str(number).encode()) for number in range(200)]
    for digest in digests:
        SightingFiles(tmp_path).note("r.example", "a/b", [digest])
    assert (tmp_path / "r.example").stat().st_size <= 4100
    assert SightingFiles(tmp_path).where("r.example", digests[-1]) == ("a/b",)
    assert [path.name for path in tmp_path.iterdir()] == ["r.example"]


def test_threads_and_several_writers_lose_nothing(tmp_path: Path) -> None:
    def work(number: int) -> None:
        memory = SightingFiles(tmp_path)
        for each in range(50):
            memory.note("r.example", f"repo{number}", [Digest(f"sha256:{number:032x}{each:032x}")])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len((tmp_path / "r.example").read_text().splitlines()) == 200
