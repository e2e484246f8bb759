"""Many users of one plug in one file: looked up while others are written, and gone without a trace when forgotten.

The file is SQLite's, with a write-ahead log beside it. A process that is killed leaves every user as it was before or
after a change, never half of one.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pplug.base import DataError, InputError
from pplug.method.model import PromptedLM
from pplug.method.user import User, build_users

WAIT = 30  # seconds for another process's change
TABLE = "CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, changes INTEGER NOT NULL, user BLOB NOT NULL)"
PUT = (
    "INSERT INTO users VALUES (?, 1, ?) "
    "ON CONFLICT (id) DO UPDATE SET user = excluded.user, changes = users.changes + 1"
)


class UserStore:
    """Users by name, on disk. Threads may share a store; each process opens its own.

    Attributes:
        path: The file.
        model: What the users are of; None if they are only looked up.
    """

    def __init__(self, path: str | Path, model: PromptedLM | None = None) -> None:
        """Open a store, or begin one.

        Args:
            path: The file; it is made if it is not there.
            model: The model that the users are of; without it they can be looked up, but not added to.

        Raises:
            DataError: The file is no store of users.
        """
        self.path, self.model, self._of_thread = Path(path), model, threading.local()
        try:
            self._connection().execute(TABLE)
        except sqlite3.DatabaseError as error:
            raise DataError(f"{path}: expected a store of users, or no file: {error}") from error

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._of_thread, "connection"):
            connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")  # readers and a writer do not wait for each other
            connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
            self._of_thread.connection = connection
        return self._of_thread.connection

    def close(self) -> None:
        """Close this thread's connection; the next call opens it again."""
        if hasattr(self._of_thread, "connection"):
            self._of_thread.connection.close()
            del self._of_thread.connection

    def __len__(self) -> int:
        return self._connection().execute("SELECT count(*) FROM users").fetchone()[0]

    def __contains__(self, name: str) -> bool:
        return self._connection().execute("SELECT 1 FROM users WHERE id = ?", (name,)).fetchone() is not None

    def __iter__(self) -> Iterator[str]:
        """The users' names."""
        return (name for (name,) in self._connection().execute("SELECT id FROM users ORDER BY id").fetchall())

    def get(self, name: str) -> User:
        """Look a user up.

        Raises:
            KeyError: There is no user of this name.
            InputError: The user was made for another plug, encoder or task than the model's.
        """
        return self._found(name)[0]

    def put(self, users: Iterable[tuple[str, User]]) -> None:
        """Write (name, user) pairs, in the place of what was there: all of them or, after an error, none."""
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(PUT, ((name, user.to_bytes()) for name, user in users))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def add(self, name: str, items: Iterable[dict]) -> User:
        """Add items to a user's history, the newest last; a new name is a new user. See `User.add`.

        Returns:
            The user as it is now.

        Raises:
            InputError: Something is no item of the task, or the store was opened without a model.
        """
        items = list(items)
        return self._changed(name, lambda user: user.add(items), next(build_users(self._bound(), [[]])))

    def remove(self, name: str, items: Iterable[dict | int]) -> User:
        """Take items out of a user's history, as if they had never been there. See `User.remove`.

        Returns:
            The user as it is now.

        Raises:
            KeyError: There is no user of this name.
            InputError: An item is not one of this user's, or the store was opened without a model.
        """
        items = list(items)
        self._bound()
        user = self._changed(name, lambda user: user.remove(items))
        self._overwrite()
        return user

    def forget(self, name: str) -> bool:
        """Delete a user. No byte of the name or of the embedding is left in the store's files.

        Returns:
            Whether there was such a user.

        Raises:
            TimeoutError: Another process has not stopped reading: the user is deleted, the log not yet empty.
        """
        was_there = self._connection().execute("DELETE FROM users WHERE id = ?", (name,)).rowcount > 0
        self._overwrite()
        return was_there

    def _bound(self) -> PromptedLM:
        if self.model is None:
            raise InputError("this store was opened without a model: UserStore(path, model)")
        return self.model

    def _found(self, name: str, default: User | None = None) -> tuple[User, int]:
        row = self._connection().execute("SELECT user, changes FROM users WHERE id = ?", (name,)).fetchone()
        if row is None and default is not None:
            return default, 0
        if row is None:
            raise KeyError(name)
        return User.from_bytes(row[0], self.model, f"{self.path}: user {name!r}"), row[1]

    def _changed(self, name: str, change: Callable[[User], User], default: User | None = None) -> User:
        """Change a user as it is: where another has changed it in the meantime, from the beginning."""
        while True:
            user, changes = self._found(name, default)
            changed = change(user)
            if changes:
                sql = "UPDATE users SET user = ?, changes = changes + 1 WHERE id = ? AND changes = ?"
                done = self._connection().execute(sql, (changed.to_bytes(), name, changes)).rowcount
            else:
                sql = "INSERT INTO users VALUES (?, 1, ?) ON CONFLICT (id) DO NOTHING"
                done = self._connection().execute(sql, (name, changed.to_bytes())).rowcount
            if done:
                return changed

    def _overwrite(self) -> None:
        """Bring the log into the file and empty it: until then it holds what was deleted."""
        end = time.monotonic() + WAIT
        while self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.path}: its log holds what was deleted, a reader has kept it for {WAIT} s")
            time.sleep(0.01)
