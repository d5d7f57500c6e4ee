"""What the engine asks of the world: protocols of at most six methods, and the values that pass through them.

Adapters (`store`, `context`, `runtime`, `image`, `registry`) implement these; `cli/wire.py` alone joins them to the
engine; `testing` ships fakes; `tests/contract` holds one suite a port that fake and real both pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from msgspec import Struct, field

from lamina.digest import ChainID, DiffID, Digest
from lamina.keys.filetree import FileRecord as FileRecord
from lamina.keys.filetree import Selection as Selection
from lamina.keys.looks import Look as Look
from lamina.keys.looks import Observations
from lamina.keys.record import CacheRecord
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest
from lamina.oci.platform import Platform
from lamina.oci.reference import Reference
from lamina.plan.steps import GitSource, HttpSource


# --- blobs -----------------------------------------------------------------------------------------------------------
class BlobWriter(Protocol):
    """An open blob. Nothing is visible to others before `commit`; leaving the `with` block without it discards all."""

    def __enter__(self) -> BlobWriter: ...
    def __exit__(self, *exc: object) -> None: ...
    def write(self, data: bytes) -> int: ...
    def commit(self) -> Digest:
        """Make it visible. Raises BuildFailure `store-…` if digest or size differ from what was expected."""


class BlobStore(Protocol):
    """Content-addressed bytes: configurations, manifests, compressed layers."""

    def has(self, digest: Digest) -> bool: ...
    def open(self, digest: Digest) -> BinaryIO:
        """Raises BuildFailure `store-blob-missing`."""

    def writer(self, expected: Digest | None = None, size: int | None = None, *, verified: bool = False) -> BlobWriter:
        """A new blob. `verified`: whoever gives the bytes has compared them with `expected` before the last one, as
        `Registry.blob` does, so that they need not be hashed twice."""

    def put(self, data: bytes) -> Digest: ...
    def delete(self, digest: Digest) -> None: ...


# --- snapshots -------------------------------------------------------------------------------------------------------
class Snapshot(Struct, frozen=True):
    """A committed stack of layers. `layer` is this layer's own directory in overlayfs' format (whiteouts are character
    devices 0:0, opaque directories carry the xattr `<xattr namespace>.overlay.opaque`)."""

    chain_id: ChainID
    parent: ChainID | None
    diff_id: DiffID
    layer: Path
    size: int


class Workspace(Struct, frozen=True):
    """A layer in the making. `layers` are the directories below it, topmost first; the step writes to `upper` (also
    in overlayfs' format); `work` is overlayfs' work directory; `scratch` is free for mount points and the like."""

    layers: tuple[Path, ...]
    upper: Path
    work: Path
    scratch: Path


class Snapshotter(Protocol):
    """Layers as directories, stacked by chain ID."""

    def get(self, chain: ChainID) -> Snapshot | None: ...
    def stack(self, chain: ChainID | None) -> tuple[Path, ...]:
        """The layer directories of a chain, topmost first; `()` for None (scratch). Raises `store-snapshot-missing`."""

    def begin(self, parent: ChainID | None) -> AbstractContextManager[Workspace]:
        """A workspace above `parent`, deleted when the block ends unless it was committed."""

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
        """Publish `work.upper`: `size` bytes of files, `disk` as in `LayerDiff` (None: count); or give what is there.

        `built` is False for a layer unpacked from an image: its directory does not give back its diff ID and may have
        parents that its tar left out, so it is neither shared with other chains nor verified, but fetched again."""

    def adopt(self, parent: ChainID | None, diff_id: DiffID) -> Snapshot | None:
        """Put a layer that lamina built elsewhere above `parent`, without copying it; None if there is none."""


# --- cache records ---------------------------------------------------------------------------------------------------
class CacheIndex(Protocol):
    """Cache records: written once, in one transaction each; the insertion is the commit point of a step."""

    def find(self, key: Digest) -> CacheRecord | None:
        """The newest usable record whose definition key or content key is `key`."""

    def nearest(self, address: str, project: str, text: str) -> Sequence[CacheRecord]:
        """Records of that project to compare a missed key with, those used last first: up to 8 with this address, and
        up to 8 with this text, for an instruction inserted above moves all addresses below it. If that project has
        none, up to 8 of others with this text: another checkout of the same files, perhaps."""

    def add(self, record: CacheRecord) -> None: ...


class FactStore(Protocol):
    """Lists of file records by their tree digest, and answers that never change (what a pattern selects in a chain)."""

    def put(self, digest: Digest, records: Sequence[FileRecord], like: Digest | None = None) -> None:
        """Keep a list. `like` names one that it probably resembles, so that it may be stored as a difference."""

    def get(self, digest: Digest) -> Sequence[FileRecord] | None: ...
    def remember(self, question: Digest, answer: Digest) -> None: ...
    def recall(self, question: Digest) -> Digest | None: ...


class Locks(Protocol):
    """Named locks across threads and processes, freed by the kernel when their holder dies."""

    def hold(self, name: str) -> AbstractContextManager[None]:
        """Block until `name` is ours; used with a step's key, so that the same step runs once."""


# --- context ---------------------------------------------------------------------------------------------------------
class ContextReader(Protocol):
    """The build context: a directory that the user owns, read and never written."""

    def entries(self) -> Sequence[FileRecord]:
        """Everything that the ignore rules leave, sorted by path, without content digests. Scanned once."""

    def digested(self, paths: Sequence[str]) -> Sequence[FileRecord]:
        """The records of these paths with `content` filled in; each file is read at most once, or not at all."""

    def open(self, record: FileRecord) -> BinaryIO:
        """A regular file's bytes. Raises BuildFailure `context-changed` if it is not the file that was digested."""

    def mtime_ns(self, path: str) -> int: ...
    def hidden_by(self, path: str) -> str | None:
        """The ignore rule that keeps `path` out, with its place, such as `*.log (.dockerignore:3)`; None if none does.
        Raises BuildFailure `context-unreadable` if it lies below a directory that could not be read."""


# --- layers ----------------------------------------------------------------------------------------------------------
class LayerDiff(Struct, frozen=True):
    """What a finished upper directory holds. `size` is the bytes of its regular files; `empty` if it changes nothing;
    `files` digests all of it but times, for early cutoff. `disk` is its bytes on the disk that no other shares."""

    diff_id: DiffID
    size: int
    empty: bool
    files: Digest
    disk: int | None = None


class User(Struct, frozen=True):
    """A user as the root file system knows it: numeric ids, supplementary groups (without `gid`), home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


class Earlier(Struct, frozen=True):
    """A layer that the same copy made before. `contents` is the hex SHA-256 of its regular files without extended
    attributes, by their path in the root (no leading slash). With `times`, what has not changed keeps the times that it
    has there, whatever the source's are: a step that was observed on that layer then sees the same."""

    layer: Path
    contents: dict[str, str]
    times: bool = False


class Placement(Struct, frozen=True):
    """What COPY or ADD does: see `lamina.plan.steps.CopyOp` for the meaning of the flags, here all resolved.

    `source` is what to read from: a context (None) or a layer stack or plain directory (topmost first). `groups` is one
    list of selected records a source argument, in order, each with the base path that is stripped from its paths.
    `chmod` as in `CopyOp`. Files that `earlier` holds with the same content and attributes are shared with it.
    """

    dest: str
    dest_is_dir: bool
    groups: tuple[Selection, ...]
    owner: tuple[int, int] | None
    chmod: str
    unpack: bool
    source: tuple[Path, ...] | None = None
    earlier: Earlier | None = None


class Accounts(Protocol):
    """Users and groups by a stack's own /etc/passwd and /etc/group. Both raise `step-unknown-user`."""

    def resolve_user(self, layers: Sequence[Path], user: str) -> User:
        """USER's `name|uid[:group|gid]`; empty is root."""

    def resolve_owner(self, layers: Sequence[Path], owner: str) -> tuple[int, int]:
        """`--chown`'s `name|uid[:group|gid]` as uid and gid; a number alone is both."""


class LayerIO(Accounts, Protocol):
    """Reading and writing layer directories without mounting anything."""

    def diff(self, upper: Path, latest: int | None = None) -> LayerDiff:
        """Describe a finished layer directory: one walk, one read of each file. With `latest` (seconds since 1970) the
        directory is marked first: whatever writes it out then gives no file a later time. The files keep theirs."""

    def place(self, work: Workspace, placement: Placement, context: ContextReader | None) -> None:
        """Carry out a COPY or ADD into `work.upper`."""

    def answers(self, layer: Path, looks: Sequence[Look], contents: Mapping[str, str]) -> bytes:
        """What one layer's directory answers to sorted looks, as in `keys.looks.SeenLayer`. `contents` are the hex
        SHA-256 of files that are known already, by path; other files are read."""

    def make_directory(self, work: Workspace, path: str, owner: tuple[int, int]) -> None:
        """WORKDIR: create `path` and its missing parents, mode 0755."""

    def records(
        self, layers: Sequence[Path], patterns: Sequence[str], *, parents: bool = False, exclude: Sequence[str] = ()
    ) -> Sequence[Selection]:
        """What these COPY --from sources select in a stack (see `keys.select.select`), with content digests."""


# --- running ---------------------------------------------------------------------------------------------------------
class Mount(Struct, frozen=True):
    """Something from outside that a step sees at `target` (absolute, in the step's root).

    `bind`: the file or directory `source`. `tmpfs`: an empty file system in memory. `tree`: `path` inside the stack
    `layers` (topmost first; links resolved inside it), whose writes are thrown away. `data`: a file with these bytes,
    which are only ever in memory. `socket`: connections go to the Unix socket `source`, whoever the step's user is.
    """

    kind: Literal["bind", "tmpfs", "tree", "data", "socket"]
    target: str
    source: Path | None = None
    read_only: bool = True
    size: int | None = None
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    layers: tuple[Path, ...] = ()
    path: str = "/"
    data: bytes = b""

    def __repr__(self) -> str:
        """Without `data`, which may be a secret."""
        return f"Mount({self.kind} {self.target})"


class Limit(Struct, frozen=True):
    """A resource limit of a step's processes, by Docker's name (`nofile`); -1 is unlimited."""

    name: str
    soft: int
    hard: int


class RunSpec(Struct, frozen=True):
    """One isolated process. `argv[0]` is looked up in the step's own PATH. `env` is complete: nothing is inherited.
    `hosts` are lines for /etc/hosts, as (name, address); `shm_size` is the bytes of /dev/shm."""

    work: Workspace
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    user: User
    network: Literal["host", "none"] = "host"
    hostname: str = "buildkitsandbox"
    mounts: tuple[Mount, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    limits: tuple[Limit, ...] = ()
    shm_size: int | None = None
    insecure: bool = False
    interactive: bool = False
    stdin: bytes | None = None
    architecture: str = ""


class Runner(Protocol):
    """Runs one process in a root file system made of a workspace. See `runtime`."""

    @property
    def name(self) -> str:
        """What the output calls it, such as `bubblewrap, root, overlay`."""

    def run(self, spec: RunSpec, output: Callable[[int, bytes], None]) -> int:
        """Run to the end and return the exit status (128 + n after signal n). Bytes go to `output(stream, data)`; in
        interactive mode the process has the caller's terminal instead. Raises BuildFailure `runtime-…`."""

    def stop(self) -> None:
        """Kill every process of every running step; their `run` calls return. Safe from any thread."""


# --- observing -------------------------------------------------------------------------------------------------------
class Watched(Protocol):
    """Layers that are being observed. `layers` are directories to be mounted in place of those that were given."""

    @property
    def layers(self) -> tuple[Path, ...]: ...
    def looks(self) -> tuple[frozenset[Look], ...]:
        """All that was looked at in each layer so far, once nothing can look any more (the step's root is unmounted).

        Raises BuildFailure `runtime-observer-lost` if not all of it is known: the observer died, or ran out of memory.
        """


class Observer(Protocol):
    """Shows layer directories to a step through file systems that note every look."""

    def watch(self, layers: Sequence[Path], scratch: Path) -> AbstractContextManager[Watched]:
        """Make copies of these layers' views below `scratch`, gone after the block.

        Raises BuildFailure `runtime-no-observer` where this machine cannot do that.
        """


class ObservationStore(Protocol):
    """Observations by their digest; a cache record names those of its step."""

    def put(self, observations: Observations) -> Digest: ...
    def get(self, digest: Digest) -> Observations | None:
        """None if they are not there (any more), or damaged."""


# --- a cache that machines share --------------------------------------------------------------------------------------
class SharedStep(Struct, frozen=True):
    """A step that a shared cache has: the record as its builder wrote it, and the blob of its layer there."""

    record: CacheRecord
    layer: Descriptor


class SharedCache(Protocol):
    """Steps that other machines built. But for `bring` nothing here fails: a cache that does not answer has nothing."""

    def find(self, keys: Sequence[Digest]) -> Mapping[Digest, SharedStep]:
        """What is there under these definition and content keys, all asked for at once. What is given is consistent:
        the record has that key, its key is the digest of its parts, and its result the chain of parent and layer."""

    def ahead(self, steps: Sequence[SharedStep]) -> None:
        """Begin to fetch the layers of these steps, which are about to be brought one after the other."""

    def bring(self, step: SharedStep, progress: Callable[[str, int, int | None], None]) -> None:
        """Fetch the layer of a step and verify its digest: it is among the `PackedLayers` then. Raises BuildFailure."""

    def lost(self, step: SharedStep) -> None:
        """A layer that was brought is not what the step says: it is not to be found again."""

    def nearest(self, address: str) -> Sequence[CacheRecord]:
        """Records that others wrote of the step with this address, to compare a missed key with; their lists of files
        are in the fact store then."""

    def offer(self, record: CacheRecord) -> None:
        """Have a step of this store written to the cache some time, unless it is there."""


# --- folders that outlive builds, and files from elsewhere -----------------------------------------------------------
class CacheMounts(Protocol):
    """The folders behind `RUN --mount=type=cache`."""

    def lease(
        self, name: str, sharing: Literal["shared", "private", "locked"], make: Callable[[Path], None]
    ) -> AbstractContextManager[Path]:
        """The folder `name` for the length of a block. `make(folder)` fills a fresh, empty one and gives it mode and
        owner. Sharing as in the Dockerfile reference: `shared` with anybody, `locked` waits until it is alone,
        `private` gets another folder if this one is in use."""


class Fetched(Struct, frozen=True):
    """A tree from elsewhere as a plain directory `root`, with all its records, sorted and digested (owner 0:0).
    `identity` is a git commit, or the digest of a download."""

    root: Path
    records: tuple[FileRecord, ...]
    identity: str


class Fetcher(Protocol):
    """Gets what ADD names by URL, and keeps it in the store. What it returned stays there as long as the store is open.
    All errors are BuildFailure `fetch-…`; nothing that fails its checksum is kept."""

    def http(self, source: HttpSource) -> Fetched:
        """One file, mode 0600, named as the URL's path ends, its mtime from Last-Modified. A URL that was fetched
        before is asked again with its validators and not downloaded if it did not change."""

    def git(self, source: GitSource) -> Fetched:
        """A repository's tree at a ref, or a directory of it; files are 0644 or 0755."""


# --- images and registries -------------------------------------------------------------------------------------------
class BaseImage(Struct, frozen=True):
    """An image that FROM or COPY --from names, resolved. `digest` is the platform manifest's digest, or the
    configuration's for an image that has never had a manifest; `config_raw` the configuration's bytes. `reference` is
    what its layers are fetched by."""

    name: str
    digest: Digest
    config_raw: bytes
    layers: tuple[Descriptor, ...] = ()
    reference: Reference | None = None


class Registry(Protocol):
    """The pulling half of the distribution protocol. All errors are BuildFailure `registry-…`."""

    def resolve(self, reference: Reference) -> Descriptor:
        """What a tag or digest points at now (HEAD): media type, digest, size."""

    def manifest(self, reference: Reference, digest: Digest | None = None) -> tuple[Manifest | Index, bytes]:
        """A manifest or index and its verified raw bytes: of `digest` if given, else of the reference."""

    def blob(self, reference: Reference, descriptor: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """A blob's verified bytes in chunks: the last chunk is only given after digest and size were checked."""


class LayerUnpacker(Protocol):
    """Turning layer tars into layer directories, safely."""

    def unpack(self, stream: BinaryIO, compression: str, work: Workspace) -> DiffID:
        """Unpack a layer into `work.upper`; returns the diff ID of the uncompressed bytes, read to their very end."""

    def gives_back(self, work: Workspace, diff_id: DiffID) -> bool:
        """Whether what was unpacked has this diff ID when it is packed again, as a layer has that lamina made."""


class PackedLayers(Protocol):
    """Which blobs of the store hold a layer, by its diff ID and compression."""

    def add(self, diff_id: DiffID, compression: str, blob: Descriptor, *, checked: bool = True) -> None:
        """Remember a blob; not `checked` if somebody says that it is the layer, and nobody has unpacked it yet."""

    def any(self, diff_id: DiffID) -> Descriptor | None:
        """A blob that is there, if possible one that is checked."""

    def confirm(self, diff_id: DiffID, digest: Digest) -> None: ...
    def forget(self, diff_id: DiffID, digest: Digest) -> None:
        """This blob is not that layer."""


class ImageSource(Protocol):
    """Where FROM finds images: the store's own, then a registry."""

    def resolve(self, reference: Reference, platform: Platform, *, fresh: bool) -> BaseImage:
        """The image for a platform; `fresh` asks the registry although the store knows the name (`--pull`)."""

    def fetch(self, image: BaseImage, progress: Callable[[str, int, int | None], None]) -> None:
        """Have all layers of the image in the store, as blobs if they are not unpacked: the image is whole then."""

    def ensure(self, image: BaseImage, progress: Callable[[str, int, int | None], None]) -> ChainID | None:
        """Fetch and unpack whatever is missing of the image's layers; returns the top of its stack."""

    def layer(self, parent: ChainID | None, diff_id: DiffID, name: str) -> Snapshot | None:
        """A layer that a cached step made, above `parent`: the one there, one that holds the same, or unpacked from its
        blob. None if the store has it in no form. Raises BuildFailure if the blob is not that layer: it is forgotten
        then. `name` is for messages."""


class ImageEntry(Struct, frozen=True):
    """An image of the store. `manifest` is the platform manifest's digest if it came from a registry or an archive;
    `layers` its compressed blobs then. `origin` is the name under which a registry has them."""

    image_id: Digest
    manifest: Digest | None = None
    layers: tuple[Descriptor, ...] = ()
    origin: Reference | None = None


class Catalog(Protocol):
    """The images that the store knows by name."""

    def find(self, reference: Reference, platform: Platform) -> ImageEntry | None: ...
    def add(self, entry: ImageEntry, references: Sequence[Reference], created: float) -> None: ...
    def note(self, key: Digest, image_id: Digest) -> None:
        """Remember which image was built from the inputs that a final key stands for (see `engine.identity`)."""

    def made(self, key: Digest) -> ImageEntry | None:
        """The image that was noted under a final key, if it is still there."""


class Limits(Struct, frozen=True):
    """Limits that keep hostile input from filling a disk: bytes unpacked of one layer, entries of one layer."""

    max_layer_bytes: int = field(default=64 << 30)
    max_layer_entries: int = field(default=4_000_000)
