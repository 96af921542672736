"""The backend that flask-fs2 calls: the objects of one container, behind its contract.

What may be stored, and whether it may replace something, flask-fs2's own ``Storage`` has
decided before it calls us. So a write here replaces what is there.
"""

from __future__ import annotations

import io
import tempfile
from contextlib import closing, contextmanager
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from flask import abort
from flask_fs.backends import BaseBackend

from flask_fs_swift.batch import RUN, SHORT
from flask_fs_swift.config import read_max_size, read_swift_settings
from flask_fs_swift.connection import SwiftConnection
from flask_fs_swift.errors import FileNotFound, InvalidName, OperationNotSupported
from flask_fs_swift.intake import take
from flask_fs_swift.names import check_name
from flask_fs_swift.objects import Properties
from flask_fs_swift.streams import CHUNK_SIZE
from flask_fs_swift.swift import SwiftBackend
from flask_fs_swift.uploads import guess_type, uploaded_type

from .encryption import Encryptor
from .errors import as_client_exceptions
from .lending import leave_to_us, lend
from .logins import forget, shared_login
from .serving import respond
from .settings import OF_FLASK_FS2, in_full

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from flask import Response
    from swiftclient import Connection
    from werkzeug.datastructures import FileStorage

    from flask_fs_swift.blocks import Readable
    from flask_fs_swift.config import SwiftSettings
    from flask_fs_swift.intake import RawContent
    from flask_fs_swift.pool import Pool
    from flask_fs_swift.streams import ObjectStream


class OpenStackBackend(BaseBackend):  # type: ignore[misc]
    """One storage of flask-fs2. Lives as long as its application.

    Nothing is connected before it is first used. Errors are those of
    :mod:`flask_fs_swift.flask_fs2.errors`.

    :param config: the storage's settings, as flask-fs2 merged them.
    :raises ConfigError: a setting is missing, unknown or impossible.
    """

    #: The name in ``FS_BACKEND``, written by flask-fs2; our settings are ``FS_<NAME>_*``.
    backend_name = "openstack"
    #: Settings, in upper case, that a subclass reads from ``config`` itself.
    own_settings: tuple[str, ...] = ()

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        super().__init__(name, config)
        # What is called by flask-fs2's Storage, around write and read.
        self.encryptor: Encryptor | None = self.encryptor and Encryptor(config["aes256_key"])
        prefix = f"FS_{self.backend_name.upper()}_"
        full = in_full(config, prefix)
        self._max_size = read_max_size(full, prefix)
        also = (*OF_FLASK_FS2, *self.own_settings)
        self._settings = read_swift_settings(full, prefix, name, also)
        self._keep_for_overrides(self._settings)
        self._login = shared_login(type(self), self._settings, self._open_connection)
        self._objects = SwiftBackend(self._settings, self._login)

    def _keep_for_overrides(self, settings: SwiftSettings) -> None:
        """Keep what overrides of ``_new_connection`` have always found on the backend."""
        credentials = settings.login.credentials
        self._authurl = credentials.authurl
        self._user, self._key = credentials.user, credentials.key
        self._auth_version = credentials.auth_version
        self._os_options = dict(credentials.os_options)
        self._timeout = settings.login.timeout
        self._retries = 0

    @property
    def pool(self) -> Pool:
        """The connections, shared with every storage of the same class and login."""
        return self._objects.pool

    def close(self) -> None:
        """Lend no more connections, to no storage that shares them, and close them.

        Storages that are made afterwards begin with a pool of their own.
        """
        forget(self._login)
        self._objects.close()

    # To be overridden, and to be used in subclasses.

    def _new_connection(self) -> Connection:
        """Return a connection that is not connected yet.

        An override may make any ``swiftclient.Connection``; its token and its retries
        are left to us. It is called on one of the storages that share a pool.
        """
        return SwiftConnection(self._settings.login)

    def _open_connection(self) -> Connection:
        return leave_to_us(self._new_connection())

    @contextmanager
    def _borrow(self) -> Iterator[Connection]:
        """Lend a connection that is logged in, for any of swiftclient's calls.

        A block that raises costs the pool its connection, unless Swift answered with
        a 4xx.

        :raises PoolExhaustedError: none came free in time; Swift was sent nothing.
        """
        with as_client_exceptions():
            self._objects.ensure_container()
            with lend(self._login, self._settings) as connection:
                yield connection

    # Reading.

    @as_client_exceptions()
    def exists(self, filename: str) -> bool:
        """Tell whether there is such an object. Raises where that is not known.

        :raises SwiftError: Swift did not say.
        """
        try:
            self._objects.head(filename)
        except (FileNotFound, InvalidName):
            return False
        return True

    @as_client_exceptions()
    def read(self, filename: str) -> bytes:
        """Return all of an object as it is stored, verified. One request."""
        with self._objects.get(filename, CHUNK_SIZE) as stream:
            return stream.read()

    @as_client_exceptions()
    def read_chunks(self, filename: str, chunk_size: int = CHUNK_SIZE) -> ObjectStream:
        """Open an object for reading as it is stored; the stream holds a connection.

        :param chunk_size: bytes.
        """
        return self._objects.get(filename, chunk_size)

    @as_client_exceptions()
    def get_metadata(self, filename: str) -> dict[str, Any]:
        """Describe an object; ``checksum`` is None where its ETag is no MD5 of its content."""
        info = self._objects.head(filename)
        return {
            "checksum": info.checksum,
            "size": info.size,
            "mime": info.content_type,
            "modified": info.modified,
        }

    def list_files(self) -> Iterator[str]:
        """Yield all names, lazily, in byte order."""
        with as_client_exceptions():
            yield from self._objects.names("", "", "")

    @as_client_exceptions()
    def serve(self, filename: str) -> Response:
        """Return a response that streams an object, decrypted, from the pool.

        What a browser would run is sent as an attachment.
        """
        try:
            stream = self._objects.get(filename, CHUNK_SIZE)
        except (FileNotFound, InvalidName):
            abort(404)
        size = stream.info.size if self.encryptor is None else None
        return respond(stream, self._decrypted(stream), size)

    # Writing.

    @as_client_exceptions()
    def write(self, filename: str, content: RawContent | FileStorage) -> None:
        """Store content as it is: all of it, verified, or nothing.

        :raises FileTooLarge: more than ``MAX_SIZE`` bytes; nothing was stored.
        """
        self._put(filename, content, uploaded_type(content))

    @as_client_exceptions()
    def save(
        self,
        file_or_wfs: FileStorage | Readable,
        filename: str,
        overwrite: bool = False,  # noqa: ARG002 - flask-fs2 decides, and does not pass it
    ) -> str:
        """Store a file, encrypted where the storage is, and leave it open."""
        self._put_encrypted(filename, file_or_wfs, uploaded_type(file_or_wfs))
        return filename

    @as_client_exceptions()
    def delete(self, filename: str) -> None:
        """Remove an object, and everything in the folder of that name, at all levels."""
        self._objects.delete(filename)
        folder = filename if filename.endswith("/") else f"{filename}/"
        names = self._objects.names(folder, "", "")
        while run := list(islice(names, RUN)):
            for name in run if len(run) < SHORT else self._left_of(run):
                self._objects.delete(name)

    def _left_of(self, names: Sequence[str]) -> Collection[str]:
        """Remove many objects in few requests; return those to be removed one by one."""
        try:
            return self._objects.delete_many(names)
        except OperationNotSupported:
            return names

    @as_client_exceptions()
    def copy(self, filename: str, target: str) -> None:
        """Copy an object inside Swift."""
        self._objects.copy(filename, target, overwrite=True)

    @as_client_exceptions()
    def move(self, filename: str, target: str) -> None:
        """Copy an object, then delete exactly this one. Moving it to its own name keeps it."""
        if filename == target:
            self._objects.head(filename)
            return
        self._objects.copy(filename, target, overwrite=True)
        self._objects.delete(filename)

    # Both.

    @contextmanager
    def open(self, filename: str, mode: str = "r", encoding: str = "utf8") -> Iterator[IO[Any]]:
        """Lend a file that can seek: with an object's content, or for what will be one's.

        It is a temporary one: no connection is held while it is open. A block that raises
        stores nothing. Both ways pass the encryption of the storage.

        :param mode: ``r``, ``rb``, ``w`` or ``wb``.
        :raises ValueError: another mode.
        """
        letters = set(mode) - {"t"}
        if letters not in ({"r"}, {"r", "b"}, {"w"}, {"w", "b"}):
            raise ValueError(f"mode must be 'r', 'rb', 'w' or 'wb', not {mode!r}")
        check_name(filename)
        with tempfile.TemporaryFile() as file:
            if "r" in letters:
                self._fetch(filename, file)
            # Newlines stay what they are, both ways.
            view = file if "b" in letters else io.TextIOWrapper(file, encoding, newline="\n")
            yield view
            if "w" in letters:
                view.flush()
                file.seek(0)
                self.save(file, filename)

    # What they have in common.

    @as_client_exceptions()
    def _fetch(self, filename: str, file: IO[bytes]) -> None:
        with self._objects.get(filename, CHUNK_SIZE) as stream:
            file.writelines(self._decrypted(stream))
        file.seek(0)

    def _decrypted(self, stream: ObjectStream) -> Iterator[bytes]:
        return self.encryptor.decrypt_file_from_generator(stream) if self.encryptor else stream

    def _put_encrypted(self, filename: str, file: Readable, content_type: str | None) -> None:
        if self.encryptor is None:
            self._put(filename, file, content_type)
            return
        with self.encryptor.encrypted(file) as encrypted:
            self._put(filename, encrypted, content_type)

    def _put(self, filename: str, content: Any, content_type: str | None) -> None:
        check_name(filename)
        part_size = self._settings.segment_size
        taken = take(content, filename=filename, limit=self._max_size, part_size=part_size)
        with closing(taken):
            properties = Properties(content_type or guess_type(filename))
            self._objects.put(filename, taken, properties, overwrite=True)
