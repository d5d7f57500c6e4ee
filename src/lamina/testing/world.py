"""A world for the engine in memory: no file, process or network, and steps that are Python functions.

A layer is a dictionary from paths to contents (None: a directory), kept under the path of the workspace's `upper`; it
stays there when it is committed. Modes, owners, links and whiteouts do not exist here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, Digest, FramedHash, chain_id, digest_of
from lamina.engine.build import build
from lamina.engine.job import chain_of
from lamina.engine.request import BuildRequest, BuildResult
from lamina.engine.world import Tools, World
from lamina.events import Reporter
from lamina.keys.filetree import FileRecord, Selection
from lamina.keys.looks import ANSWER, Look, Observations
from lamina.keys.select import select
from lamina.oci.config import ImageConfig, RootFS, RuntimeConfig, decode_config, encode_config
from lamina.oci.descriptor import Descriptor
from lamina.oci.platform import Platform
from lamina.oci.reference import Reference, parse_reference
from lamina.plan.steps import PlanOptions
from lamina.ports.images import BaseImage, ImageEntry
from lamina.ports.layers import LayerDiff, Placement, User
from lamina.ports.running import RunSpec
from lamina.ports.sources import ContextReader
from lamina.ports.storing import Snapshot, Workspace
from lamina.testing.context import MemoryContext
from lamina.testing.memory import MemoryBlobs, MemoryCacheIndex, MemoryLocks
from lamina.testing.outside import MemoryCacheMounts, MemoryFetcher

#: Path without a leading slash → content, None for a directory.
Tree = dict[str, bytes | None]
Output = Callable[[int, bytes], None]
#: What a RUN does: it may change the step's own layer and write output; returns the exit status.
Script = Callable[[RunSpec, Tree, Output], int]

LINUX = Platform("linux", "amd64")


class MemorySnapshots:
    """A `ports.Snapshotter`; `layers` are all trees, those of unfinished workspaces included."""

    def __init__(self) -> None:
        self.layers: dict[Path, Tree] = {}
        self._snapshots: dict[ChainID, Snapshot] = {}
        self._numbers = count(1)

    def get(self, chain: ChainID) -> Snapshot | None:
        return self._snapshots.get(chain)

    def stack(self, chain: ChainID | None) -> tuple[Path, ...]:
        found: list[Path] = []
        while chain is not None:
            if chain not in self._snapshots:
                raise BuildFailure("store-snapshot-missing", f"the store has no layer {chain}")
            found.append(self._snapshots[chain].layer)
            chain = self._snapshots[chain].parent
        return tuple(found)

    @contextmanager
    def begin(self, parent: ChainID | None) -> Iterator[Workspace]:
        root = Path(f"/workspace-{next(self._numbers)}")
        work = Workspace(self.stack(parent), root / "upper", root / "work", root / "scratch")
        self.layers[work.upper] = {}
        try:
            yield work
        finally:
            if all(snapshot.layer != work.upper for snapshot in list(self._snapshots.values())):
                del self.layers[work.upper]

    def commit(
        self,
        work: Workspace,
        parent: ChainID | None,
        diff_id: DiffID,
        size: int | None,
        *,
        built: bool = True,
        disk: int | None = None,
    ) -> Snapshot:
        chain = chain_id(parent, diff_id)
        if size is None:
            size = sum(len(data or b"") for data in self.layers[work.upper].values())
        return self._snapshots.setdefault(chain, Snapshot(chain, parent, diff_id, work.upper, size))

    def adopt(self, parent: ChainID | None, diff_id: DiffID) -> Snapshot | None:
        twin = next((one for one in self._snapshots.values() if one.diff_id == diff_id), None)
        if twin is None:
            return None
        chain = chain_id(parent, diff_id)
        return self._snapshots.setdefault(chain, Snapshot(chain, parent, diff_id, twin.layer, twin.size))

    def drop(self, chain: ChainID) -> None:
        """Lose a layer, as the garbage collector does."""
        del self.layers[self._snapshots.pop(chain).layer]

    def tree(self, layers: Sequence[Path]) -> Tree:
        """A stack (topmost first) as one tree."""
        return {path: data for layer in reversed(layers) for path, data in self.layers[layer].items()}


class MemoryLayers:
    """A `ports.LayerIO`. `asked` lists the patterns whose records were read from a stack, in order."""

    def __init__(self, snapshots: MemorySnapshots) -> None:
        self._snapshots = snapshots
        self.asked: list[str] = []

    def resolve_user(self, layers: Sequence[Path], user: str) -> User:
        """Root, a number, or `app`, who is 1000:1000 and lives in /home/app."""
        name = user.partition(":")[0] or "root"
        known = {"root": User(0, 0, home="/root"), "app": User(1000, 1000, home="/home/app")}
        if not name.isdecimal() and name not in known:
            raise BuildFailure("step-unknown-user", f"there is no user {name}")
        return User(int(name), 0) if name.isdecimal() else known[name]

    def resolve_owner(self, layers: Sequence[Path], owner: str) -> tuple[int, int]:
        user = self.resolve_user(layers, owner)
        return user.uid, user.gid

    def diff(self, upper: Path, latest: int | None = None) -> LayerDiff:
        tree = self._snapshots.layers[upper]
        frames = FramedHash()
        for path in sorted(tree):
            data = tree[path]
            frames.add(path, b"directory" if data is None else b"file " + data)
        digest = frames.digest()
        return LayerDiff(DiffID(digest), sum(len(data or b"") for data in tree.values()), not tree, digest)

    def answers(self, layer: Path, looks: Sequence[Look], contents: Mapping[str, str]) -> bytes:
        """An entry is whether there is one, a list the names below; anything else is the content."""
        tree = self._snapshots.layers[layer]
        return b"".join(sha256(_answer(tree, look)).digest()[:ANSWER] for look in looks)

    def place(self, work: Workspace, placement: Placement, context: ContextReader | None) -> None:
        upper = self._snapshots.layers[work.upper]
        source = self._snapshots.tree(placement.source or ())
        for group in placement.groups:
            for record in group.files:
                path = _landing(placement, group, record)
                if record.kind != "dir":
                    upper[path] = context.open(record).read() if context else source[record.path]
                elif path:
                    upper[path] = None

    def make_directory(self, work: Workspace, path: str, owner: tuple[int, int]) -> None:
        if path.strip("/") not in self._snapshots.tree(work.layers):
            self._snapshots.layers[work.upper][path.strip("/")] = None

    def records(
        self, layers: Sequence[Path], patterns: Sequence[str], *, parents: bool = False, exclude: Sequence[str] = ()
    ) -> Sequence[Selection]:
        self.asked += patterns
        records: dict[str, FileRecord] = {}
        for path, data in self._snapshots.tree(layers).items():
            for end in (index for index, char in enumerate(path) if char == "/"):
                records.setdefault(path[:end], FileRecord(path[:end], "dir", 0o755))
            content = sha256(data).hexdigest() if data is not None else ""
            records[path] = FileRecord(path, "dir" if data is None else "file", 0o755, content=content)
        ordered = [records[path] for path in sorted(records)]
        chosen = (select(ordered, pattern, parents=parents, exclude=exclude) for pattern in patterns)
        return [selection for selections in chosen for selection in selections]


def _answer(tree: Tree, look: Look) -> bytes:
    if look.kind == "entry":
        return str(look.path in tree).encode()
    if look.kind == "list":
        return repr(sorted(path for path in tree if path.startswith(look.path))).encode()
    return repr(tree.get(look.path)).encode()


def _landing(placement: Placement, group: Selection, record: FileRecord) -> str:
    dest = placement.dest.strip("/")
    if group.is_dir:
        inside = record.path.removeprefix(group.base).strip("/")
    else:
        inside = group.base.rpartition("/")[2] if placement.dest_is_dir else ""
    return "/".join(part for part in (dest, inside) if part)


class ScriptedRunner:
    """A `ports.Runner`. `steps` maps a command (the last word of argv) to what it does; any other command writes a
    file `ran/<command>`. `ran` lists the commands in the order in which they began, `specs` what each was given."""

    name = "scripted"

    def __init__(self, snapshots: MemorySnapshots) -> None:
        self._snapshots = snapshots
        self.steps: dict[str, Script] = {}
        self.ran: list[str] = []
        self.specs: dict[str, RunSpec] = {}
        #: Set by `stop`; a step that waits for something waits for this too.
        self.stopped = threading.Event()

    def run(self, spec: RunSpec, output: Output) -> int:
        command = spec.argv[-1]
        self.ran.append(command)
        self.specs[command] = spec
        tree = self._snapshots.layers[spec.work.upper]
        if command not in self.steps:
            tree[f"ran/{command}"] = b""
            return 0
        status = self.steps[command](spec, tree, output)
        return 137 if self.stopped.is_set() else status

    def stop(self) -> None:
        self.stopped.set()


class MemoryFacts:
    """A `ports.FactStore`."""

    def __init__(self) -> None:
        self.lists: dict[Digest, tuple[FileRecord, ...]] = {}
        self.answers: dict[Digest, Digest] = {}

    def put(self, digest: Digest, records: Sequence[FileRecord], like: Digest | None = None) -> None:
        self.lists[digest] = tuple(records)

    def get(self, digest: Digest) -> Sequence[FileRecord] | None:
        return self.lists.get(digest)

    def remember(self, question: Digest, answer: Digest) -> None:
        self.answers[question] = answer

    def recall(self, question: Digest) -> Digest | None:
        return self.answers.get(question)


class MemoryObservations:
    """A `ports.ObservationStore`."""

    def __init__(self) -> None:
        self.kept: dict[Digest, Observations] = {}

    def put(self, observations: Observations) -> Digest:
        digest = digest_of(repr(observations).encode())
        self.kept[digest] = observations
        return digest

    def get(self, digest: Digest) -> Observations | None:
        return self.kept.get(digest)


class MemoryObserver:
    """A `ports.Observer`: shows the layers themselves, and says that a step looked at what `script` names for its
    layers (all paths of all layers, unless a test says otherwise); `lost` makes it die, `absent` refuse."""

    def __init__(self, snapshots: MemorySnapshots) -> None:
        self._snapshots = snapshots
        self.looks: Callable[[Path], frozenset[Look]] = self._everything
        self.lost = False
        self.absent = False
        self.watched = 0

    def _everything(self, layer: Path) -> frozenset[Look]:
        tree = self._snapshots.layers[layer]
        return frozenset(Look(path, "entry" if data is None else "read") for path, data in tree.items())

    @contextmanager
    def watch(self, layers: Sequence[Path], scratch: Path) -> Iterator[MemoryWatched]:
        self.watched += 1
        if self.absent:
            raise BuildFailure("runtime-no-observer", "steps cannot be observed here")
        yield MemoryWatched(tuple(layers), self)


class MemoryWatched:
    """See `MemoryObserver`."""

    def __init__(self, layers: tuple[Path, ...], observer: MemoryObserver) -> None:
        self.layers = layers
        self._observer = observer

    def looks(self) -> tuple[frozenset[Look], ...]:
        if self._observer.lost:
            raise BuildFailure("runtime-observer-lost", "the observer died")
        return tuple(map(self._observer.looks, self.layers))


class MemoryCatalog:
    """A `ports.Catalog`: the last image of each name, whatever its platform."""

    def __init__(self) -> None:
        self.entries: dict[Reference, ImageEntry] = {}
        self.keys: dict[Digest, Digest] = {}

    def find(self, reference: Reference, platform: Platform) -> ImageEntry | None:
        return self.entries.get(reference)

    def add(self, entry: ImageEntry, references: Sequence[Reference], created: float) -> None:
        self.entries.update(dict.fromkeys(references, entry))

    def note(self, key: Digest, image_id: Digest) -> None:
        self.keys[key] = image_id

    def made(self, key: Digest) -> ImageEntry | None:
        return ImageEntry(self.keys[key]) if key in self.keys else None


class MemoryImages:
    """A `ports.ImageSource`: a registry of images of one layer, made with `add`. `fetched` names those whose layer was
    asked for and was not there. `packed` are layers of steps that are there as blobs, None for a blob that is none;
    `unpacked` names those that were asked for."""

    def __init__(self, snapshots: MemorySnapshots, layers: MemoryLayers) -> None:
        self._snapshots = snapshots
        self._layers = layers
        self._images: dict[Reference, tuple[BaseImage, Tree]] = {}
        self.fetched: list[str] = []
        self.packed: dict[DiffID, Tree | None] = {}
        self.unpacked: list[str] = []

    def add(self, name: str, tree: Tree, config: RuntimeConfig | None = None) -> None:
        """Publish an image, or another one under the same name."""
        with self._snapshots.begin(None) as work:
            self._snapshots.layers[work.upper].update(tree)
            rootfs = RootFS("layers", (self._layers.diff(work.upper).diff_id,))
        raw = encode_config(ImageConfig(LINUX.architecture, LINUX.os, rootfs, config=config or RuntimeConfig()))
        reference = parse_reference(name)
        layers = (Descriptor("layer", digest_of(raw), 0),)
        self._images[reference] = BaseImage(name, digest_of(b"manifest of " + raw), raw, layers, reference), tree

    def resolve(self, reference: Reference, platform: Platform, *, fresh: bool) -> BaseImage:
        if reference not in self._images:
            raise BuildFailure("registry-not-found", f"there is no image {reference}")
        return self._images[reference][0]

    def fetch(self, image: BaseImage, progress: Callable[[str, int, int | None], None]) -> None:
        self.ensure(image, progress)

    def layer(self, parent: ChainID | None, diff_id: DiffID, name: str) -> Snapshot | None:
        found = self._snapshots.adopt(parent, diff_id)
        if found is not None or diff_id not in self.packed:
            return found
        self.unpacked.append(name)
        tree = self.packed[diff_id]
        if tree is None:
            del self.packed[diff_id]
            raise BuildFailure("image-wrong-diff-id", f"{name} is not what it should be")
        with self._snapshots.begin(parent) as work:
            self._snapshots.layers[work.upper].update(tree)
            return self._snapshots.commit(work, parent, diff_id, None)

    def ensure(self, image: BaseImage, progress: Callable[[str, int, int | None], None]) -> ChainID | None:
        config = decode_config(image.config_raw)
        chain = chain_of(config)
        if chain is not None and self._snapshots.get(chain) is None:
            self.fetched.append(image.name)
            tree = next(tree for known, tree in self._images.values() if known == image)
            with self._snapshots.begin(None) as work:
                self._snapshots.layers[work.upper].update(tree)
                self._snapshots.commit(work, None, config.rootfs.diff_ids[0], 0, built=False)
            progress(config.rootfs.diff_ids[0], 1, 1)
        return chain


class MemoryWorld(Struct, frozen=True):
    """All of it, joined. `starts` has one entry for each time that the engine asked for tools."""

    context: MemoryContext
    snapshots: MemorySnapshots
    layers: MemoryLayers
    runner: ScriptedRunner
    images: MemoryImages
    index: MemoryCacheIndex
    facts: MemoryFacts
    catalog: MemoryCatalog
    blobs: MemoryBlobs
    locks: MemoryLocks
    fetcher: MemoryFetcher
    cache_mounts: MemoryCacheMounts
    observer: MemoryObserver
    observations: MemoryObservations
    contexts: dict[str, ContextReader]
    starts: list[int]
    clock: Iterator[int]

    def build(
        self, dockerfile: str, reporter: Reporter | None = None, options: PlanOptions | None = None, **request: object
    ) -> BuildResult:
        """Build a Dockerfile's text; `request` holds further fields of a BuildRequest. Raises BuildFailure."""
        fields: dict[str, object] = {"build": "b", "file": "Dockerfile", "project": "p", "jobs": 4, **request}
        fields["options"] = options or PlanOptions(LINUX, LINUX)
        made = BuildRequest(dockerfile=dockerfile.encode(), **fields)  # type: ignore[arg-type]
        return build(made, self.world(), reporter or Reporter())

    def files(self, result: BuildResult) -> Tree:
        """The finished image's tree."""
        return self.snapshots.tree(self.snapshots.stack(result.chain))

    def world(self) -> World:
        """What the engine sees of it. The clock shows a second more each time that it is read."""
        return World(
            blobs=self.blobs,
            snapshots=self.snapshots,
            index=self.index,
            facts=self.facts,
            locks=self.locks,
            catalog=self.catalog,
            context=self.context,
            images=self.images,
            fetcher=self.fetcher,
            cache_mounts=self.cache_mounts,
            observer=self.observer,
            observations=self.observations,
            start=self._start,
            now=lambda: 1_600_000_000.0 + next(self.clock),
            peek=self._peek,
            answers=self.layers.answers,
            version="0",
            contexts=self.contexts,
        )

    def _peek(self, layer: Path, path: str, limit: int) -> bytes | None:
        data = self.snapshots.layers[layer].get(path)
        return data if data is not None and len(data) <= limit else None

    def _start(self) -> Tools:
        self.starts.append(len(self.runner.ran))
        return Tools(self.runner, self.layers)


def memory_world(context: MemoryContext | None = None, folders: Path = Path("/nowhere")) -> MemoryWorld:
    """An empty store, and a registry with one image, `base`, in it. Cache mounts are real, below `folders`."""
    snapshots = MemorySnapshots()
    layers = MemoryLayers(snapshots)
    images = MemoryImages(snapshots, layers)
    images.add("base", {"etc/os-release": b"base\n"}, RuntimeConfig(env=("PATH=/bin",)))
    return MemoryWorld(
        context=context or MemoryContext({}),
        snapshots=snapshots,
        layers=layers,
        runner=ScriptedRunner(snapshots),
        images=images,
        index=MemoryCacheIndex(lambda chain: snapshots.get(chain) is not None, images.packed),
        facts=MemoryFacts(),
        catalog=MemoryCatalog(),
        blobs=MemoryBlobs(),
        locks=MemoryLocks(),
        fetcher=MemoryFetcher(snapshots.layers),
        cache_mounts=MemoryCacheMounts(folders),
        observer=MemoryObserver(snapshots),
        observations=MemoryObservations(),
        contexts={},
        starts=[],
        clock=count(),
    )
