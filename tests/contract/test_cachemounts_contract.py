"""What every `ports.CacheMounts` does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from lamina.ports.running import CacheMounts
from lamina.store.cachemounts import CacheMounts as StoreCacheMounts
from lamina.testing.outside import MemoryCacheMounts


@pytest.fixture(params=["memory", "disk"])
def mounts(request: pytest.FixtureRequest, tmp_path: Path) -> CacheMounts:
    directory = tmp_path / "cachemounts"
    return MemoryCacheMounts(directory) if request.param == "memory" else StoreCacheMounts(directory)


class Maker:
    """What fills a fresh folder; it counts how often."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, folder: Path) -> None:
        assert folder.is_dir() and list(folder.iterdir()) == []
        self.made += 1
        (folder / "seed").write_text("s")
        folder.chmod(0o1777)


def test_a_folder_is_made_once_and_keeps_what_was_put_there(mounts: CacheMounts) -> None:
    maker = Maker()
    with mounts.lease("pip", "shared", maker) as folder:
        assert folder.stat().st_mode & 0o7777 == 0o1777
        (folder / "wheel").write_text("w")
    with mounts.lease("pip", "locked", maker) as again:
        assert again == folder
        assert sorted(path.name for path in again.iterdir()) == ["seed", "wheel"]
    with mounts.lease("pip", "private", maker) as again:
        assert again == folder
    assert maker.made == 1


@pytest.mark.parametrize("name", ["", "/", "..", "a/b/../c", "A" * 5000, "\udcff", "/root/.cache é\n\x00", ".", "-rf"])
def test_any_text_is_a_name(mounts: CacheMounts, name: str) -> None:
    maker = Maker()
    for _ in range(2):
        with mounts.lease(name, "locked", maker) as folder:
            assert (folder / "seed").exists()
    with mounts.lease("another", "locked", maker) as other:
        assert other != folder
    assert maker.made == 2


def test_names_that_read_the_same_are_told_apart(mounts: CacheMounts) -> None:
    names = ("/a/b", "/a-b", "a/b", "a b", "A/b")
    with ExitStack() as stack:
        assert len({stack.enter_context(mounts.lease(name, "locked", Maker())) for name in names}) == 5


def test_any_number_share_a_folder(mounts: CacheMounts) -> None:
    with ExitStack() as stack:
        assert len({stack.enter_context(mounts.lease("pip", "shared", Maker())) for _ in range(9)}) == 1


def test_private_folders_are_as_many_as_are_in_use_at_once(mounts: CacheMounts) -> None:
    maker = Maker()
    for _ in range(2):
        with ExitStack() as stack:
            assert len({stack.enter_context(mounts.lease("pip", "private", maker)) for _ in range(3)}) == 3
    assert maker.made == 3


def test_a_private_user_leaves_a_shared_folder_alone(mounts: CacheMounts) -> None:
    with (
        mounts.lease("pip", "shared", Maker()) as shared,
        mounts.lease("pip", "private", Maker()) as private,
    ):
        assert shared != private


@pytest.mark.parametrize("sharing", ["locked", "shared"])
def test_a_locked_user_is_alone(mounts: CacheMounts, sharing: str) -> None:
    inside: list[str] = []
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with mounts.lease("apt", "locked", Maker()):
            entered.set()
            leave.wait(20)
            inside.append("first")

    def follow() -> None:
        with mounts.lease("apt", sharing, Maker()):  # type: ignore[arg-type]
            inside.append("second")

    threads = [threading.Thread(target=hold), threading.Thread(target=follow)]
    threads[0].start()
    assert entered.wait(20)
    threads[1].start()
    threads[1].join(0.05)
    assert inside == []
    leave.set()
    for thread in threads:
        thread.join(20)
    assert inside == ["first", "second"]


def test_only_one_thread_at_a_time_is_inside_a_locked_folder(mounts: CacheMounts) -> None:
    def zero(folder: Path) -> None:
        (folder / "n").write_text("0")

    def work() -> None:
        for _ in range(25):
            with mounts.lease("count", "locked", zero) as folder:
                number = int((folder / "n").read_text())
                threading.Event().wait(0.00001)
                (folder / "n").write_text(str(number + 1))

    run_together([work] * 4)
    with mounts.lease("count", "locked", Maker()) as folder:
        assert (folder / "n").read_text() == "100"


def test_a_folder_that_many_want_at_once_is_made_once(mounts: CacheMounts) -> None:
    maker = Maker()
    start = threading.Barrier(8)

    def work() -> None:
        start.wait(20)
        with mounts.lease("pip", "shared", maker) as folder:
            assert (folder / "seed").exists()

    run_together([work] * 8)
    assert maker.made == 1


def test_who_shares_a_new_folder_waits_for_nobody_who_works_in_it(mounts: CacheMounts) -> None:
    maker = Maker()
    together = threading.Barrier(8)

    def work() -> None:
        for number in range(40):
            with mounts.lease(f"new-{number}", "shared", maker):
                together.wait(20)  # until all of them are in it

    run_together([work] * 8)
    assert maker.made == 40


def test_what_fails_while_it_is_made_is_not_there(mounts: CacheMounts) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError

    for _ in range(2):
        with pytest.raises(RuntimeError), mounts.lease("pip", "locked", fail):
            raise AssertionError
    maker = Maker()
    with mounts.lease("pip", "private", maker) as folder:
        assert [path.name for path in folder.iterdir()] == ["seed"]
        assert folder.name == "0"


def test_an_error_inside_frees_the_folder(mounts: CacheMounts) -> None:
    with pytest.raises(RuntimeError), mounts.lease("pip", "locked", Maker()):
        raise RuntimeError
    with mounts.lease("pip", "locked", Maker()):
        pass


def run_together(works: list[Callable[[], None]]) -> None:
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
