"""The index: one SQLite file in WAL mode, a connection a thread.

`synchronous = NORMAL`: in WAL mode a commit then only appends to the log, without an fsync; the log has checksums, so a
power loss takes the newest commits at most and never tears the file. What such a loss may leave on disk, a row whose
layer did not get there, is what `durability` is about. A killed process loses nothing: its writes are in the kernel.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from lamina.store.failures import damaged, from_sqlite_error

#: The schema's number, kept in `PRAGMA user_version`; it rises together with `layout.FORMAT`.
SCHEMA_VERSION = 3

_BUSY_SECONDS = 60.0

#: Text that may hold bytes that are no UTF-8 (addresses, project directories) is a BLOB: SQLite takes no surrogates.
#: `check` is a CRC-32 over the row: a flipped bit is a miss, never another layer.
_SCHEMA = """
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES ('layer', 0), ('carried', 0), ('elsewhere', -1);
CREATE TABLE snapshots (
    chain TEXT PRIMARY KEY, parent TEXT, diff_id TEXT NOT NULL, layer INTEGER NOT NULL, size INTEGER NOT NULL,
    built INTEGER NOT NULL, created REAL NOT NULL, boot TEXT NOT NULL, synced INTEGER NOT NULL,
    "check" INTEGER NOT NULL, disk INTEGER NOT NULL DEFAULT -1
) WITHOUT ROWID;
CREATE INDEX snapshots_diff_id ON snapshots (diff_id);
CREATE INDEX snapshots_layer ON snapshots (layer, disk);
CREATE TABLE blobs (
    digest TEXT PRIMARY KEY, size INTEGER NOT NULL, boot TEXT NOT NULL, synced INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE records (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, content_key TEXT NOT NULL, address BLOB NOT NULL,
    project BLOB NOT NULL, text BLOB NOT NULL, result TEXT, used REAL NOT NULL, data BLOB NOT NULL,
    "check" INTEGER NOT NULL
);
CREATE INDEX records_key ON records (key);
CREATE INDEX records_content_key ON records (content_key);
CREATE INDEX records_address ON records (project, address);
CREATE INDEX records_text ON records (text, project);
CREATE INDEX records_result ON records (result);
CREATE TABLE damaged_records (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE images (
    id TEXT PRIMARY KEY, platform TEXT NOT NULL, created REAL NOT NULL, manifest TEXT, media_type TEXT, origin TEXT
) WITHOUT ROWID;
CREATE TABLE tags (
    name TEXT NOT NULL, platform TEXT NOT NULL, image TEXT NOT NULL, tagged REAL NOT NULL, PRIMARY KEY (name, platform)
) WITHOUT ROWID;
CREATE INDEX tags_image ON tags (image);
CREATE TABLE results (key TEXT PRIMARY KEY, image TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX results_image ON results (image);
CREATE TABLE layer_blobs (
    diff_id TEXT NOT NULL, compression TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL,
    size INTEGER NOT NULL, checked INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (diff_id, compression)
) WITHOUT ROWID;
CREATE TABLE answers (question TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX answers_answer ON answers (answer);
CREATE TABLE builds (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, project BLOB NOT NULL, started REAL NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX builds_project ON builds (project);
"""

#: From the version before to each. A new store and one that was brought up have the same tables.
_MIGRATIONS = {
    2: """
ALTER TABLE snapshots ADD COLUMN disk INTEGER NOT NULL DEFAULT -1;
DROP INDEX snapshots_layer;
CREATE INDEX snapshots_layer ON snapshots (layer, disk);
CREATE TABLE results (key TEXT PRIMARY KEY, image TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX results_image ON results (image);
DROP INDEX records_text;
CREATE INDEX records_text ON records (text, project);
INSERT OR IGNORE INTO counters VALUES ('carried', 0), ('elsewhere', -1);
""",
    3: """
ALTER TABLE images RENAME COLUMN pulled TO origin;
ALTER TABLE layer_blobs ADD COLUMN checked INTEGER NOT NULL DEFAULT 1;
""",
}


class Index:
    """Access to the index file. Reading outside a transaction sees the newest commit; `write` is one transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._guard = threading.Lock()

    def create(self) -> None:
        """Make the tables unless they are there. Raises BuildFailure."""
        with self.write() as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                _execute_all(connection, _SCHEMA)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def migrate(self) -> None:
        """Bring the tables of an older version up, in one transaction; every row stays. Raises BuildFailure."""
        if not self.path.exists():
            raise damaged(self.path, "the file is missing")
        with self.write() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if not 1 <= version <= SCHEMA_VERSION:
                raise damaged(self.path, "the tables are missing or of another version")
            for number in range(version + 1, SCHEMA_VERSION + 1):
                _execute_all(connection, _MIGRATIONS[number])
                connection.execute(f"PRAGMA user_version = {number}")

    def check(self) -> None:
        """Fail early and clearly on a missing, empty or damaged file (`store-index-damaged`)."""
        if not self.path.exists():
            raise damaged(self.path, "the file is missing")
        if self.read("PRAGMA user_version")[0][0] != SCHEMA_VERSION:
            raise damaged(self.path, "the tables are missing or of another version")

    def read(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises BuildFailure."""
        try:
            return self._connection().execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise from_sqlite_error(error, self.path) from error
        except UnicodeDecodeError as error:  # even an error's message may quote damaged bytes
            raise damaged(self.path, str(error)) from error

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, begun with the write lock, committed if the block ends well. Not to be nested."""
        try:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise from_sqlite_error(error, self.path) from error
        except UnicodeDecodeError as error:
            raise damaged(self.path, str(error)) from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
            except BaseException:
                connection.close()
                raise
            self._local.connection = connection
            with self._guard:
                self._open.append(connection)
        return connection

    def checkpoint(self) -> None:
        """Move the log into the file, with the fsyncs that this needs."""
        self.read("PRAGMA wal_checkpoint(TRUNCATE)")

    def log_bytes(self) -> int:
        """The size of the log."""
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except OSError:
            return 0

    def close(self) -> None:
        """Close every thread's connection, without the checkpoint and its two fsyncs that the last one would do.

        SQLite leaves the log alone when the last connection to close is a reader (https://www.sqlite.org/wal.html,
        "The WAL File"). The log is moved when it has grown, by SQLite itself, or by `durability.settle`.
        """
        with self._guard:
            connections, self._open = self._open, []
        self._local = threading.local()
        if not connections:
            return
        try:
            reader = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        except sqlite3.Error:
            for connection in connections:
                connection.close()
            return
        with closing(reader):
            try:
                reader.execute("SELECT value FROM counters").fetchone()
            except sqlite3.Error:
                pass
            for connection in connections:
                connection.close()


def _execute_all(connection: sqlite3.Connection, statements: str) -> None:
    """Within the open transaction, which `executescript` would end."""
    for statement in statements.split(";\n"):
        if statement.strip():
            connection.execute(statement)
