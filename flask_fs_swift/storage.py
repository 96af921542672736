"""Storage: what a view calls. It checks the request and hands it to a backend.

A ``Storage`` is a name and its rules; where its objects are belongs to the application
that it is registered with. So one ``Storage`` serves any number of applications.
"""

from __future__ import annotations

import copy
import math
import os
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, TypedDict, TypeVar, overload
from urllib.parse import quote, urljoin

from flask import current_app, has_request_context, redirect, request
from werkzeug.exceptions import NotFound

from .backend import BulkDeleting, Pooled, Reachable
from .batch import Outcomes
from .conditions import NO_CONDITIONS, of_version
from .errors import (
    ConfigError,
    FileNotFound,
    FileTooLarge,
    InvalidName,
    OperationNotSupported,
    UnauthorizedFileType,
)
from .events import Watch
from .fetching import fetch_into
from .forms import Inbox, is_in_an_inbox, take_out
from .intake import take
from .metadata import check_header
from .names import check_name
from .newfile import new_file
from .objects import Marker, Properties, UploadInfo
from .operations import Copy, Delete
from .presets import DEFAULTS, Extensions, is_allowed, normalised
from .ranges import ByteRange, byte_range, cut, merged
from .seekable import BinaryReader, ObjectFile, TextReader
from .serving import Manner, Server
from .signing import (
    Grant,
    check_header_names,
    check_ip_range,
    check_key,
    check_lifetime,
    check_method,
    check_origins,
    check_redirect,
)
from .streams import CHUNK_SIZE, ObjectStream
from .swift import in_seconds
from .upload import Upload
from .uploads import guess_type, uploaded_name, uploaded_type
from .window import OpenRoom, Window
from .writer import BinaryWriter, TextWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from flask import Flask
    from typing_extensions import NotRequired, Self
    from werkzeug.datastructures import FileStorage
    from werkzeug.wrappers import Response

    from .backend import Backend, Uploads
    from .blocks import Readable
    from .conditions import Conditions
    from .config import StorageSettings
    from .events import EventHook, Progress
    from .intake import RawContent
    from .objects import FormFiles, FormUpload, ObjectInfo, Orphan
    from .operations import Operation
    from .window import PoolSeat

    Folder: TypeAlias = "str | Callable[[], str] | None"
    #: Tells whether a file may be served to the current request; may abort instead.
    Authorize: TypeAlias = "Callable[[str], bool]"

T = TypeVar("T")

#: Seconds.
CENTURY = 100 * 365 * 24 * 3600

#: Where an application keeps what is mounted on it.
EXTENSION = "flask_fs_swift"


@dataclass(frozen=True)
class Mount:
    """A storage in one application: its settings and its backend."""

    storage: Storage
    settings: StorageSettings
    backend: Backend
    on_event: EventHook | None = None
    #: Where the application serves its files itself, with a final slash; None: nowhere.
    served_at: str | None = None

    @property
    def connections(self) -> float:
        """The most that the backend has at a time."""
        swift = self.settings.swift
        return swift.login.pool_size if swift is not None else math.inf


class Metadata(TypedDict):
    """What Flask-FS calls the metadata of a file."""

    #: Without its folders.
    filename: str
    #: Bytes; None where Swift does not say.
    size: int | None
    #: ``md5:<hexadecimal digits>``; absent where the ETag is no MD5 of the content.
    checksum: NotRequired[str]
    #: The content type.
    mime: str
    #: Aware, in UTC.
    modified: datetime | None
    #: None where the storage has no ``URL`` setting.
    url: str | None


class Storage:
    """A set of files.

    Lives as long as the program: make it once, beside your views.

    :param extensions: what ``save`` takes, such as ``IMAGES + TEXT``.
    :param upload_to: a folder, or a function that answers one, for all that is saved.
    :param overwrite: whether writing replaces files when the call does not say.
    """

    def __init__(
        self,
        name: str = "files",
        extensions: Extensions = DEFAULTS,
        upload_to: Folder = None,
        overwrite: bool = False,
    ) -> None:
        self.name = name
        self.extensions = normalised(extensions)
        self.upload_to = upload_to
        self.overwrite = overwrite
        self._bound: Mount | None = None
        self._authorize: Authorize | None = None

    def bound(self, app: Flask) -> Self:
        """Return this storage tied to an application: it works without an app context.

        :raises ConfigError: the storage was not registered with that application.
        """
        return self._tied_to(self._mount_in(app))

    @property
    def is_bound(self) -> bool:
        """Whether it is tied to an application: see :meth:`bound`."""
        return self._bound is not None

    def __repr__(self) -> str:
        return f"<Storage {self.name!r}>"

    # Writing.

    def write(
        self,
        filename: str,
        content: RawContent,
        overwrite: bool | None = None,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expires_after: float | None = None,
        cache_control: str | None = None,
        content_disposition: str | None = None,
        progress: Progress | None = None,
    ) -> ObjectInfo:
        """Store content under a name: all of it, verified, or nothing.

        What is longer than ``SEGMENT_SIZE`` is stored as a large object, several segments at once.

        :param content: text (stored as UTF-8), bytes, a binary file from its present
            position, any readable, or an iterable of bytes.
        :param overwrite: None: as the storage says.
        :param content_type: by default what the name's extension suggests.
        :param metadata: keys of letters, digits and inner hyphens; case is lost.
        :param expires_after: seconds until the file is deleted; from 1 to a hundred years.
        :param progress: called with the bytes handed to the network and the bytes of all, which
            are None where more than a segment passes only once; in the caller's thread or
            greenlet. It goes back where content is sent again. What it raises ends the transfer:
            nothing is stored.
        :raises InvalidName: before anything was read or sent.
        :raises FileExists: nothing was stored.
        :raises FileTooLarge: more than ``MAX_SIZE`` bytes; nothing was stored.
        :raises ETagMismatchError: what was stored is not what was sent; see the policy.
        :raises OperationNotSupported: it is longer than a segment, and Swift joins none.
        :raises SwiftUnavailable: with ``maybe_applied`` where the outcome is not known.
        """
        properties = _properties(
            filename, content_type, metadata, expires_after, cache_control, content_disposition
        )
        mount = self._mount()
        settings = mount.settings
        limit, part_size = settings.max_size, settings.part_size
        with self._watched(mount, "write") as seen:
            taken = take(content, filename=filename, limit=limit, part_size=part_size)
            try:
                info = mount.backend.put(
                    filename,
                    taken,
                    properties,
                    overwrite=self.overwrite if overwrite is None else overwrite,
                    progress=progress,
                )
            finally:
                taken.close()
            seen.bytes = info.size or 0
        return info

    def save(
        self,
        file_or_wfs: FileStorage | Readable,
        filename: str | None = None,
        prefix: Folder = None,
        overwrite: bool | None = None,
        *,
        progress: Progress | None = None,
    ) -> str:
        """Store an uploaded file and return the name that it got.

        A name that comes from the browser is made safe; one that you give is used as it
        is. ``upload_to`` and ``prefix`` come before it, in this order. The file is left
        open.

        :param progress: as for ``write``.
        :raises UnauthorizedFileType: the extension is not allowed, or is denied.
        :raises InvalidName: there is no name.
        :raises FSError: as ``write``.
        """
        basename = filename or uploaded_name(file_or_wfs)
        mount = self._mount()
        if not self._takes(basename, mount):
            raise UnauthorizedFileType(
                f"{basename!r} has an extension that {self.name!r} does not take",
                filename=basename,
            )
        target = "/".join(filter(None, (self._folder(prefix), basename)))
        content_type = uploaded_type(file_or_wfs)
        self.write(target, file_or_wfs, overwrite, content_type=content_type, progress=progress)
        return target

    def extension_allowed(self, extension: str) -> bool:
        """Tell whether files with this extension, without the dot, are taken."""
        return self._takes(f"file.{extension}", self._mount())

    def delete(self, filename: str) -> None:
        """Remove exactly this file. One that is absent counts as removed."""
        mount = self._mount()
        with self._watched(mount, "delete"):
            mount.backend.delete(filename)

    def delete_prefix(self, prefix: str) -> int:
        """Remove everything in a folder and below; return how many files that was.

        They are removed in batches, as :meth:`many` does it.

        :param prefix: with its final slash, so that ``a/b/`` never takes ``a/b2``.
        :raises ValueError: it does not end with a slash.
        :raises InvalidName: another program gave a file a name that is not possible here;
            all others were removed.
        :raises AtCapacity: no connection was free; some may have been removed.
        :raises FSError: one could not be removed; the others that had been begun were.
        """
        _check_folder(prefix)
        return self._all(map(Delete, self.list_files(prefix)))

    def _all(self, operations: Iterator[Operation]) -> int:
        """Do everything; return how much that was.

        It is pulled a thousand at a time, so that what it asks for itself needs no connection
        while a batch has them.

        :raises InvalidName: for some of them, after all others were done.
        :raises BaseException: what the first one raised, for any other reason.
        """
        count = 0
        refused: InvalidName | None = None
        while some := list(islice(operations, 1000)):
            with self.many(some) as outcomes:
                for outcome in outcomes:
                    if isinstance(outcome.error, InvalidName):
                        refused = outcome.error
                    elif outcome.error is not None:
                        raise outcome.error
                    else:
                        count += 1
        if refused is not None:
            raise refused
        return count

    def copy(
        self,
        filename: str,
        target: str,
        overwrite: bool | None = None,
        *,
        progress: Progress | None = None,
    ) -> None:
        """Copy a file, with its headers and metadata, inside the storage.

        :param progress: called with the bytes copied and the bytes of all, in the caller's thread
            or greenlet: now and then for a large file, once at the end for any other. What it
            raises ends the copy of a large file: nothing is stored. Any other is stored by then.
        :raises FileNotFound: there is nothing to copy.
        :raises FileExists: the target exists. On Swift it is asked for first, so that of
            two copies at once the later one may still replace the other.
        """
        mount = self._mount()
        with self._watched(mount, "copy"):
            if filename == target:
                size = mount.backend.head(filename).size
                if progress is not None:
                    progress(size or 0, size)
                return
            may_overwrite = self._may_overwrite(overwrite)
            mount.backend.copy(filename, target, overwrite=may_overwrite, progress=progress)

    def move(
        self,
        filename: str,
        target: str,
        overwrite: bool | None = None,
        *,
        progress: Progress | None = None,
    ) -> None:
        """Copy a file, then delete it. Moving it to its own name keeps it.

        :param progress: as for ``copy``. What it raises leaves the file where it is.
        :raises FSError: as ``copy``; if it is the deletion that failed, both are there.
        """
        self.copy(filename, target, overwrite, progress=progress)
        if filename != target:
            self.delete(filename)

    def delete_run(self, names: Sequence[str]) -> Collection[str]:
        """Remove many files in few requests; return those that have to be removed one by one.

        ``many`` and ``delete_prefix`` do both.

        :raises OperationNotSupported: that goes for all, now and later.
        """
        mount = self._mount()
        if not isinstance(mount.backend, BulkDeleting):
            raise OperationNotSupported(f"{self.name!r} removes one file at a time")
        with self._watched(mount, "delete_many"):
            return mount.backend.delete_many(names)

    def copy_prefix(self, prefix: str, target: str, overwrite: bool | None = None) -> int:
        """Copy everything in a folder and below to another one; return how many files that was.

        They are copied in batches, as :meth:`many` does it.

        :param prefix: with its final slash, like ``target``. Neither is inside the other.
        :raises ValueError: a final slash is missing, or one folder is inside the other.
        :raises FileExists: a target exists. As with any other error, some were copied.
        :raises InvalidName: a name would be too long; all others were copied.
        :raises AtCapacity: no connection was free; some may have been copied.
        """
        _check_folder(prefix)
        _check_folder(target)
        if prefix.startswith(target) or target.startswith(prefix):
            raise ValueError(f"one of {prefix!r} and {target!r} is inside the other")
        return self._all(
            Copy(name, target + name.removeprefix(prefix), overwrite)
            for name in self.list_files(prefix)
        )

    def set_metadata(self, filename: str, metadata: Mapping[str, str | None]) -> None:
        """Set some of a file's user metadata without rewriting it; None removes a key.

        What is not named is kept.

        :raises FileNotFound: there is no such file.
        """
        mount = self._mount()
        with self._watched(mount, "set_metadata"):
            mount.backend.update_metadata(filename, metadata)

    # Many at once.

    def many(self, operations: Iterable[Operation], concurrency: int | None = None) -> Outcomes:
        """Do many things at once: return an iterator over their outcomes, one for each.

        They come in the order in which they end. Operations on one name of which one changes
        the file keep theirs. An operation that fails is an outcome with an error.

        A share of the free connections is reserved at once (``BULK_SHARE``), others are borrowed
        while they stand idle (``BULK_CEILING``). The input is pulled as outcomes are asked for.
        Closing or dropping the iterator ends the pulling; what has begun runs to its end.

        :param operations: ``Put``, ``Get``, ``Head``, ``Delete`` and ``Copy``, without end if
            need be.
        :param concurrency: operations at a time; 1: in the order of the input. By default as
            many as there may be.
        :raises ValueError: ``concurrency`` is below 1.
        :raises AtCapacity: no connection is free; nothing was pulled.
        """
        if concurrency is not None and concurrency < 1:
            raise ValueError(f"at least 1 operation runs at a time, not {concurrency}")
        mount = self._mount()
        backend = mount.backend
        # A subclass may do more when it deletes.
        collects = isinstance(backend, BulkDeleting) and type(self).delete is Storage.delete
        if not isinstance(backend, Pooled):
            files = self._tied_to(mount)
            room = OpenRoom(concurrency)
            return Outcomes(operations, room, lambda _: files, collects=collects)

        def files_at(seat: PoolSeat) -> Storage:
            return self._tied_to(replace(mount, backend=backend.within(seat)))

        window = Window(backend.pool, concurrency)
        return Outcomes(operations, window, files_at, collects=collects)

    # Reading.

    def read(self, filename: str, *, start: int = 0, end: int | None = None) -> bytes:
        """Return all of a file, verified; or some of its bytes, which Swift has no MD5 of.

        :param start: the first byte.
        :param end: after the last byte; None, or what is beyond the end: the end.
        :raises FileNotFound: there is none.
        :raises RangeNotSatisfiable: it ends before ``start``.
        :raises ETagMismatchError: what arrived is not what was stored.
        :raises StreamBroken: the transfer broke and could not be resumed.
        """
        wanted = byte_range(start, end)
        mount = self._mount()
        with self._watched(mount, "read") as seen:
            with mount.backend.get(filename, CHUNK_SIZE, wanted) as stream:
                content = stream.read()
            seen.bytes = len(content)
        return content

    def read_ranges(self, filename: str, ranges: Iterable[tuple[int, int | None]]) -> list[bytes]:
        """Return several ranges of one version of a file, in the order they are given.

        Those that touch, or nearly, are fetched together.

        :param ranges: as ``start`` and ``end`` of :meth:`read`.
        :raises ObjectChanged: the file was replaced between two requests.
        :raises FSError: as :meth:`read`.
        """
        wanted = [ByteRange(start, end) for start, end in ranges]
        mount = self._mount()
        fetched: dict[ByteRange, bytes] = {}
        conditions = NO_CONDITIONS
        with self._watched(mount, "read_ranges") as seen:
            for together in merged(wanted):
                with mount.backend.get(filename, CHUNK_SIZE, together, conditions) as stream:
                    conditions = of_version(stream.info.etag)
                    fetched[together] = stream.read()
                seen.bytes += len(fetched[together])
            return [cut(filename, fetched, each) for each in wanted]

    def read_chunks(
        self,
        filename: str,
        chunk_size: int = CHUNK_SIZE,
        *,
        start: int = 0,
        end: int | None = None,
    ) -> ObjectStream:
        """Open a file for reading in chunks: an iterator, a context manager, ``read(n)``.

        It holds a connection until its last byte was read, or it is closed or dropped.
        A view can return it in a response.

        :param chunk_size: bytes.
        :param start: the first byte.
        :param end: after the last byte; None, or what is beyond the end: the end.
        :raises FileNotFound: there is none. Raised here, not while reading.
        :raises RangeNotSatisfiable: it ends before ``start``.
        """
        wanted = byte_range(start, end)
        mount = self._mount()
        watch = self._watched(mount, "read_chunks")
        try:
            stream = mount.backend.get(filename, chunk_size, wanted)
        except BaseException as error:
            watch.ended(error)
            raise
        stream.on_end = watch.ended_after
        return stream

    @overload
    def open(
        self, filename: str, mode: Literal["r", "w"] = ..., overwrite: bool | None = ...
    ) -> IO[str]: ...

    @overload
    def open(
        self, filename: str, mode: Literal["rb", "wb"], overwrite: bool | None = ...
    ) -> IO[bytes]: ...

    def open(
        self, filename: str, mode: str = "r", overwrite: bool | None = None
    ) -> IO[str] | IO[bytes]:
        """Open a file as Python would: ``"rb"``, ``"r"``, ``"wb"`` or ``"w"``, text in UTF-8.

        What is read is one version of the file, fetched as it is needed: it may seek. What
        is read from beginning to end is verified; 256 KiB come with the first request.
        What is written is stored on a clean close; a ``with`` block that raises stores
        nothing. Up to 4 MiB wait in memory, more in a temporary file.

        :raises ValueError: another mode.
        :raises FileNotFound: reading, and there is none.
        """
        if mode in {"r", "rb"}:
            file = self._opened(filename)
            return BinaryReader(file) if mode == "rb" else TextReader(file)
        if mode not in {"w", "wb"}:
            raise ValueError(f"mode must be 'rb', 'r', 'wb' or 'w', not {mode!r}")
        check_name(filename)
        # The application is found now: it may be out of reach when the file is closed.
        storage = self._tied_to(self._mount())

        def store(file: IO[bytes]) -> ObjectInfo:
            return storage.write(filename, file, overwrite)

        return BinaryWriter(store) if mode == "wb" else TextWriter(store)  # type: ignore[return-value]

    def _opened(self, filename: str) -> ObjectFile:
        mount = self._mount()

        def open_range(wanted: ByteRange, conditions: Conditions) -> ObjectStream:
            return mount.backend.get(filename, CHUNK_SIZE, wanted, conditions)

        watch = self._watched(mount, "open")
        try:
            return ObjectFile(open_range, watch.ended_after)
        except BaseException as error:
            watch.ended(error)
            raise

    def download(
        self,
        filename: str,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
        concurrency: int = 4,
    ) -> ObjectInfo:
        """Put a file of the storage into one of this machine: all of it, verified, or nothing.

        It is filled under another name in the same folder, ``.fs-*.part``, and brought to the disk
        before it gets its own. Large objects are verified segment by segment; those that another
        program has made of a prefix, or of parts of objects, by their version and size only.

        :param overwrite: whether what is at ``path`` may be replaced, a symbolic link itself.
        :param progress: called with the bytes written and the bytes of all, which are None where
            Swift does not say; in the caller's thread or greenlet, now and then and at the end.
            What it raises ends the transfer.
        :param concurrency: requests for ranges of 16 MiB at a time, each with a connection and
            1 MiB of memory; never more than ``POOL_SIZE``.
        :raises FileExists: there is something at ``path``, and it may not be replaced.
        :raises FileNotFound: there is no such file in the storage.
        :raises FileNotFoundError: there is no such folder here.
        :raises ObjectChanged: the file was replaced or deleted between two requests.
        :raises ETagMismatchError: what was written is not what was stored.
        :raises StreamBroken: the transfer broke and could not be resumed.
        :raises OSError: the disk is full, or the system refused; nothing at ``path`` has changed,
            here as after any error.
        """
        check_name(filename)
        if concurrency < 1:
            raise ValueError(f"at least 1 request is made at a time, not {concurrency}")
        mount = self._mount()

        def open_range(wanted: ByteRange, conditions: Conditions) -> ObjectStream:
            return mount.backend.get(filename, CHUNK_SIZE, wanted, conditions)

        with (
            self._watched(mount, "download") as seen,
            new_file(Path(path).absolute(), overwrite=overwrite) as file,
        ):
            width = int(min(concurrency, mount.connections))
            checksums = mount.backend.checksums
            info = fetch_into(file, open_range, checksums, width=width, progress=progress)
            seen.bytes = os.fstat(file.fileno).st_size
        return info

    def exists(self, filename: str) -> bool:
        """Tell whether there is such a file. Raises where that is not known.

        :raises SwiftError: Swift did not say; absence is only ever a 404 of the object.
        """
        mount = self._mount()
        with self._watched(mount, "exists"):
            try:
                mount.backend.head(filename)
            except FileNotFound:
                return False
        return True

    def __contains__(self, filename: str) -> bool:
        return self.exists(filename)

    def info(self, filename: str) -> ObjectInfo:
        """Describe a file, user metadata included.

        :raises FileNotFound: there is none.
        """
        mount = self._mount()
        with self._watched(mount, "info"):
            return mount.backend.head(filename)

    def metadata(self, filename: str) -> Metadata:
        """Describe a file in Flask-FS's words.

        :raises FileNotFound: there is none.
        """
        info = self.info(filename)
        described: Metadata = {
            "filename": filename.rpartition("/")[2],
            "size": info.size,
            "mime": info.content_type,
            "modified": info.modified,
            "url": self._url_of(filename),
        }
        if info.checksum is not None:
            described["checksum"] = info.checksum
        return described

    def list_files(
        self,
        prefix: str | None = None,
        delimiter: str | None = None,
        *,
        after: str | None = None,
    ) -> Iterator[str]:
        """Yield the names of all files, lazily, in byte order.

        :param prefix: only names that begin with it.
        :param delimiter: yield once, up to and with the delimiter, what has it after the
            prefix: ``list_files("a/", "/")`` lists one folder.
        :param after: only names that come after this one, to go on where a page ended.
        """
        mount = self._mount()
        return self._told(mount, mount.backend.names(prefix or "", delimiter or "", after or ""))

    def list_infos(
        self,
        prefix: str | None = None,
        delimiter: str | None = None,
        *,
        after: str | None = None,
    ) -> Iterator[ObjectInfo]:
        """Yield the description of all files, as ``list_files``, at no further request.

        Listings have no user metadata. They may lag behind writes by seconds.
        """
        mount = self._mount()
        return self._told(mount, mount.backend.list(prefix or "", delimiter or "", after or ""))

    def _told(self, mount: Mount, found: Iterator[T], operation: str = "list") -> Iterator[T]:
        """Return what was found, as it is where nobody wants to be told of the listing's end."""
        return found if mount.on_event is None else self._watched_listing(mount, found, operation)

    def _watched_listing(self, mount: Mount, found: Iterator[T], operation: str) -> Iterator[T]:
        with self._watched(mount, operation):
            yield from found

    def serve(
        self,
        filename: str,
        *,
        as_attachment: bool = False,
        download_name: str | None = None,
        redirect: float | None = None,
    ) -> Response:
        """Answer the current request with a file: GET and HEAD, ranges, conditions.

        What a browser would run as a page of the application, such as HTML or SVG, is
        an attachment, unless ``SERVE_INLINE``. The connection comes back with the last byte,
        or when the client leaves.

        :param as_attachment: whether the browser saves it, in place of showing it.
        :param download_name: what it is called then; by default as here, without folders.
        :param redirect: send the browser straight to Swift (302), with a temporary URL that is
            good for so many seconds. Swift is not asked whether there is such a file, and what
            it is; it is an attachment, unless ``SERVE_INLINE``. None: the content comes from
            here.
        :raises HTTPException: 404 there is none, or it is in a form's upload that was not
            finished; 412, 416 as RFC 9110 says.
        :raises FSError: Swift failed; no response has begun.
        """
        if is_in_an_inbox(filename):
            raise NotFound
        mount = self._mount()
        if redirect is not None:
            return self._sent_to_swift(mount, filename, as_attachment, download_name, redirect)
        watch = self._watched(mount, "serve")

        def watched(stream: ObjectStream) -> None:
            stream.on_end = watch.ended_after

        manner = Manner(
            cache_control=mount.settings.cache_control,
            is_trusted=mount.settings.serve_inline,
            as_attachment=as_attachment,
            download_name=download_name,
        )
        return Server(mount.backend, filename, manner, watched).answer(request)

    def _sent_to_swift(
        self,
        mount: Mount,
        filename: str,
        as_attachment: bool,
        download_name: str | None,
        seconds: float,
    ) -> Response:
        answer = redirect(
            self.temporary_url(
                filename,
                seconds,
                # Always named, because Swift would believe a disposition that is stored with it.
                filename_for_browser=download_name or filename.rstrip("/").rpartition("/")[2],
                inline=mount.settings.serve_inline and not as_attachment,
            )
        )
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def authorize(self, check: Authorize) -> Authorize:
        """Have a function asked before the application serves a file by itself (``FS_SERVE``).

        It is given the file's name, in the request that asks for it. It aborts, or returns
        whether the file may be served; if not, the answer is 403.
        """
        self._authorize = check
        return check

    def may_serve(self, filename: str) -> bool:
        """Tell whether a file may be served to the current request."""
        return self._authorize is None or self._authorize(filename)

    def url(self, filename: str, external: bool = False) -> str:
        """Return where a file can be fetched: below the ``URL`` setting, or served by ``FS_SERVE``.

        :param external: with scheme and host, also where the setting has none. Where there is
            neither, and anybody may read the container, in Swift itself.
        :raises OperationNotSupported: there is none of these.
        :raises FSError: Swift could not be asked.
        """
        check_name(filename)
        mount = self._mount()
        base = mount.settings.url or mount.served_at
        if base is None and external and isinstance(mount.backend, Reachable):
            in_swift = mount.backend.public_url(filename)
            if in_swift is not None:
                return in_swift
        if base is None:
            raise OperationNotSupported(
                f"{self.name!r} has no public address; set {self.name.upper()}_FS_URL or FS_SERVE",
                filename=filename,
            )
        # A slash at the beginning is the name's own: after another it would begin a host.
        bare = filename.lstrip("/")
        path = "%2F" * (len(filename) - len(bare)) + quote(bare)
        if mount.settings.url is None and has_request_context():
            base = request.root_path + base
        return (urljoin(request.url_root, base) if external else base) + path

    # Uploads in parts.

    def start_upload(
        self,
        filename: str,
        *,
        overwrite: bool | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expires_after: float | None = None,
        cache_control: str | None = None,
        content_disposition: str | None = None,
        size: int | None = None,
        lifetime: float | None = None,
    ) -> Upload:
        """Begin to store a file in parts, from anywhere, at leisure.

        The file appears when the upload is completed.

        :param overwrite: None: as the storage says.
        :param expires_after: seconds from now, not from the completion, until the file and its
            parts are deleted.
        :param metadata: this and the next two as for ``write``.
        :param size: bytes that the file will have, where that is known. Then each part is put once:
            another of its number is refused with ``FileExists``, also at the same moment, and
            ``receipts`` says with certainty what there is.
        :param lifetime: seconds from now in which it may be completed. What is left of it then,
            ``collect_garbage`` removes. None: it waits for ever; in two tiers, as long as those do.
        :raises ValueError: the size or the lifetime is less than nothing.
        :raises InvalidName: before anything was sent.
        :raises FileExists: there is a file of this name, and it may not be replaced.
        :raises FileTooLarge: its size is more than ``MAX_SIZE``.
        :raises OperationNotSupported: the storage, or its Swift, has no large objects.
        """
        properties = _properties(
            filename, content_type, metadata, expires_after, cache_control, content_disposition
        )
        if (size or 0) < 0 or (lifetime or 0) < 0:
            raise ValueError("neither a size nor a lifetime is less than nothing")
        mount = self._mount()
        limit = mount.settings.max_size
        if size is not None and limit is not None and size > limit:
            raise FileTooLarge(
                f"{filename!r} would have {size} bytes; {limit} are allowed",
                filename=filename,
                limit=limit,
            )
        with self._watched(mount, "start_upload"):
            marker = self._uploads(mount).start(
                filename,
                properties,
                overwrite=self._may_overwrite(overwrite),
                size=size,
                until=None if lifetime is None else time.time() + lifetime,
            )
        return self._upload(mount, marker)

    def resume_upload(self, filename: str, id: str) -> Upload:  # noqa: A002 - the field's word
        """Return an upload that was started elsewhere, by its ``id``.

        What was put before has to be given to ``complete``: ``list_parts``, or what was kept.

        :raises UploadClosed: there is no such upload of this file in this storage, or it
            was aborted, or completed more than 7 days ago.
        """
        check_name(filename)
        mount = self._mount()
        with self._watched(mount, "resume_upload"):
            return self._upload(mount, self._uploads(mount).resume(filename, id))

    def abort_upload(self, filename: str, id: str) -> None:  # noqa: A002 - the field's word
        """Abort an upload by its ``id``; aborting again is fine.

        :raises UploadClosed: there is no such upload of this file in this storage, or it was
            completed; then the file stays.
        """
        check_name(filename)
        mount = self._mount()
        with self._watched(mount, "abort_upload"):
            self._uploads(mount).abort(Marker(filename, "upload", id), ())

    def list_uploads(self) -> Iterator[UploadInfo]:
        """Yield the uploads that are neither completed nor aborted, lazily.

        One request for each. Listings lag in a real cluster: the newest may not be there yet.
        """
        mount = self._mount()
        found = self._uploads(mount).open_uploads()
        infos = (
            UploadInfo(marker.id, marker.name, datetime.fromtimestamp(marker.started, timezone.utc))
            for marker in found
        )
        return self._told(mount, infos, "list_uploads")

    def collect_garbage(
        self, older_than: float = 24 * 3600, *, dry_run: bool = False
    ) -> list[Orphan]:
        """Remove what crashes have left behind; return it.

        That is parts of large files to which no file and no open upload refers.

        :param older_than: seconds; only parts of which none is younger. More than the longest
            write takes from one part to the next, or it loses its parts and fails.
        :param dry_run: whether nothing is removed.
        :raises FSError: Swift failed; some may have been removed.
        """
        if not older_than >= 0:
            raise ValueError(f"older_than must be 0 seconds or more, not {older_than}")
        mount = self._mount()
        with self._watched(mount, "collect_garbage"):
            return self._uploads(mount).collect(older_than, dry_run=dry_run)

    def _uploads(self, mount: Mount) -> Uploads:
        if mount.backend.multipart is None:
            raise OperationNotSupported(f"{self.name!r} has no uploads in parts")
        return mount.backend.multipart

    def _upload(self, mount: Mount, marker: Marker) -> Upload:
        watch = partial(self._watched, mount)
        return Upload(self._uploads(mount), marker, mount.settings.max_size, watch)

    # Straight to Swift.

    def temporary_url(
        self,
        filename: str,
        expires_in: float = 3600,
        method: str = "GET",
        *,
        filename_for_browser: str | None = None,
        inline: bool = False,
        ip_range: str | None = None,
        prefix: bool = False,
    ) -> str:
        """Return a URL at which anybody can do one thing to a file, for a while.

        It cannot be taken back before it expires, but by another key. Swift is not asked
        whether there is such a file. One for GET, PUT or POST does HEAD too.

        :param expires_in: seconds, from 1 to 604,800 (7 days). Swift's clock counts.
        :param method: GET, HEAD, PUT, POST or DELETE. With PUT its holder replaces what is
            there, whatever ``extensions``, ``overwrite`` and ``MAX_SIZE`` say.
        :param filename_for_browser: what it is saved as; by default its own name, without
            folders. This and ``inline`` are not signed: who has the URL can change them.
        :param inline: whether a browser is to show it in place of saving it.
        :param ip_range: an address or a network (10.0.0.0/8) from which alone it works, as
            Swift sees addresses.
        :param prefix: for all files below a folder: ``filename`` ends with a slash, and its
            user writes a file's quoted name after it, before the question mark.
        :raises ValueError: an argument that can never be right; a folder without a slash.
        :raises InvalidName: nothing can have this name.
        :raises ConfigError: there is no ``TEMPORARY_URL_KEY``.
        :raises OperationNotSupported: the storage is not on Swift.
        :raises AuthFailed: Swift's address was not known yet, and could not be asked.
        """
        check_name(filename)
        if prefix:
            _check_folder(filename)
        if filename_for_browser is not None:
            check_name(filename_for_browser)
        checked = check_method(method), check_ip_range(ip_range), check_lifetime(expires_in)
        grant = Grant(
            method=checked[0],
            expires=in_seconds(checked[2]),
            is_prefix=prefix,
            ip_range=checked[1],
            download_name=filename_for_browser,
            inline=inline,
        )
        return self._reachable("temporary URLs").temporary_url(filename, grant)

    def form_upload(
        self,
        prefix: Folder = None,
        redirect: str | None = None,
        *,
        max_size: int,
        max_count: int = 1,
        expires_in: float = 3600,
    ) -> FormUpload:
        """Return a form with which a browser sends files straight to Swift.

        They arrive in a folder that nobody can guess. Nothing of it is a file of the storage
        before :meth:`finish_form_upload`.

        :param prefix: the folder for the files, after ``upload_to``, as in :meth:`save`.
        :param redirect: where the browser is sent afterwards (303), with ``status`` and
            ``message`` in the query; None: Swift answers with its status.
        :param max_size: bytes of each file; no more than ``MAX_SIZE``.
        :param max_count: files, from 1 to 1,000.
        :param expires_in: seconds until the form is refused, from 1 to 604,800 (7 days).
        :raises ValueError: an argument that can never be right.
        :raises FSError: as :meth:`temporary_url`.
        """
        mount = self._mount()
        limit = mount.settings.max_size
        inbox = Inbox.new(
            self._folder(prefix),
            max_count=max_count,
            max_size=max_size if limit is None else min(max_size, limit),
        )
        checked, seconds = check_redirect(redirect), check_lifetime(expires_in)
        return self._reachable("forms").form(
            inbox.path,
            redirect=checked,
            max_size=inbox.max_size,
            max_count=inbox.max_count,
            expires=in_seconds(seconds),
        )

    def finish_form_upload(
        self, upload: FormUpload | str, overwrite: bool | None = None
    ) -> FormFiles:
        """Store what a form's user has sent, as :meth:`save` would, and delete the rest.

        Names are made safe; extensions, sizes and the number of files are checked. What the
        listing does not show yet, another call finds. So does it what was not done when Swift
        failed: nothing is stored twice.

        :param upload: the form, or its ``id``. Whoever knows it may finish it.
        :param overwrite: None: as the storage says. Without it, a file whose name is taken
            is refused.
        :raises InvalidName: it is no form's ``id``.
        :raises OperationNotSupported: the storage is not on Swift.
        :raises FSError: Swift failed; nothing that was sent is lost.
        """
        inbox = Inbox.at(upload if isinstance(upload, str) else upload.id)
        backend = self._reachable("forms")
        mount = self._mount()
        with self._watched(mount, "finish_form_upload"):
            return take_out(
                backend,
                inbox,
                lambda name: self._takes(name, mount),
                overwrite=self._may_overwrite(overwrite),
            )

    def set_temporary_url_key(
        self, key: str, second: str | None = None, *, account: bool = False
    ) -> None:
        """Have Swift accept what is signed with these keys, and with no other of the container.

        To change a key: set the new one with the old one as second, restart with the new one
        in ``TEMPORARY_URL_KEY``, and set it alone when the last old URL has expired.

        :param key: 16 to 256 characters of printable ASCII: ``secrets.token_urlsafe(32)``.
        :param account: set them for the whole account: URLs of large files need that, because a
            container's key signs for no other container, and their segments are in one.
            Whoever has such a key can sign for every container of the account.
        :raises ValueError: a key is none; it is not repeated.
        :raises ContainerNotFound: unless it would be created when needed.
        :raises OperationNotSupported: Swift does not accept the first key: the login may not
            set it, or Swift has no temporary URLs, or not with SHA-256.
        """
        check_key(key)
        if second is not None:
            check_key(second)
        with self._watched(self._mount(), "set_temporary_url_key"):
            backend = self._reachable("temporary URLs")
            backend.set_temporary_url_key(key, second, account=account)

    def set_cors(
        self,
        origins: Iterable[str],
        *,
        max_age: int | None = None,
        expose_headers: Iterable[str] = (),
    ) -> None:
        """Say which web pages may use temporary URLs and forms from their scripts.

        :param origins: such as ``https://shop.example``, or ``*`` for every page; none: no page.
        :param max_age: seconds for which a browser need not ask again; None: it decides.
        :param expose_headers: names of headers that the scripts may read, beside Swift's own.
        :raises ValueError: an origin is none, or a header's name.
        :raises ContainerNotFound: unless it would be created when needed.
        :raises OperationNotSupported: the storage is not on Swift.
        """
        if max_age is not None and not 0 <= max_age <= CENTURY:
            raise ValueError(f"max_age must be 0 seconds to 100 years, not {max_age}")
        allowed, exposed = check_origins(origins), check_header_names(expose_headers)
        with self._watched(self._mount(), "set_cors"):
            self._reachable("CORS").set_cors(allowed, max_age, exposed)

    def _reachable(self, what: str) -> Reachable:
        backend = self._mount().backend
        if not isinstance(backend, Reachable):
            raise OperationNotSupported(
                f"{self.name!r} has no {what}: nobody but this application can reach its files, "
                "because they are not on Swift"
            )
        return backend

    def _folder(self, prefix: Folder) -> str:
        return "/".join(filter(None, (_folder(self.upload_to), _folder(prefix))))

    def _url_of(self, filename: str) -> str | None:
        mount = self._mount()
        return self.url(filename) if mount.settings.url or mount.served_at else None

    def path(self, filename: str) -> str:
        """Raise: no backend of this package keeps files in the file system.

        :raises OperationNotSupported: always.
        """
        raise OperationNotSupported(
            f"{self.name!r} is not in the file system; use open() or read_chunks()",
            filename=filename,
        )

    # What this storage is here and now.

    def _mount(self) -> Mount:
        return self._bound or self._mount_in(current_app)

    def _mount_in(self, app: Flask) -> Mount:
        state = app.extensions.get(EXTENSION)
        mount: Mount | None = state.mounts.get(self.name) if state is not None else None
        if mount is None:
            raise ConfigError(
                f"storage {self.name!r} is not registered with this application: call "
                f"FS(app, {self.name}) or init_app(app, {self.name})"
            )
        return mount

    def _tied_to(self, mount: Mount) -> Self:
        tied = copy.copy(self)
        tied._bound = mount  # noqa: SLF001 - a copy of ours
        return tied

    def _may_overwrite(self, overwrite: bool | None) -> bool:
        return self.overwrite if overwrite is None else overwrite

    def _takes(self, basename: str, mount: Mount) -> bool:
        settings = mount.settings
        return is_allowed(basename, self.extensions, settings.allow, settings.deny)

    def _watched(self, mount: Mount, operation: str) -> Watch:
        return Watch(mount.on_event, operation, self.name)


def _properties(
    filename: str,
    content_type: str | None,
    metadata: Mapping[str, str] | None,
    expires_after: float | None,
    cache_control: str | None,
    content_disposition: str | None,
) -> Properties:
    """Check the name of a file to be, and what is said about it."""
    check_name(filename)
    return Properties(
        content_type=check_header("content_type", content_type or guess_type(filename)),
        metadata=metadata or {},
        expires_after=_whole_seconds(expires_after),
        cache_control=cache_control and check_header("cache_control", cache_control),
        content_disposition=content_disposition
        and check_header("content_disposition", content_disposition),
    )


def _check_folder(prefix: str) -> None:
    if not prefix.endswith("/"):
        raise ValueError(f"a folder ends with a slash: {prefix + '/'!r}, not {prefix!r}")


def _folder(folder: Folder) -> str:
    return ((folder() if callable(folder) else folder) or "").rstrip("/")


def _whole_seconds(seconds: float | None) -> int | None:
    if seconds is not None and not 1 <= seconds <= CENTURY:
        raise ValueError(f"expires_after must be 1 second to 100 years, not {seconds}")
    return None if seconds is None else int(seconds)


def may_wait() -> bool:
    """Tell whether the caller can wait while Keystone hiccups: a job can, a web request cannot."""
    return not has_request_context()
