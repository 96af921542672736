"""The segments of large objects, in a container beside that of the objects.

``<container>_segments`` has, with the SHA-256 of an object's name as ``<hash>``:

- ``<hash>/<upload>/<number>/<md5>``: a segment. No two contents ever share such a name, so a
  segment never changes.
- ``<hash>/<upload>/manifest/<level>-<number>-<etag>``: a manifest that is part of another, where
  one cannot list all segments. Nor does this ever change.
- ``<hash>/<upload>/receipts/<number>``: a *receipt*, which says what the part of a number is where
  each is put once. It is created and never replaced: who finds none can be sure of that, which
  no listing is.
- ``uploads/<hash>/<upload>``: the *marker* of an upload: what was started, and its state.

All of them say in their content type whose they are, so that a listing is enough to know it.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import logging
import re
import time
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from .answers import listed_info, listed_names
from .bulk import Bulk
from .container import Container
from .content import Held
from .errors import FileNotFound, FSError, SwiftError
from .etag import unquoted
from .hashing import md5_of
from .names import SEGMENTS
from .objects import Marker, Part

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from .call import Caller
    from .capabilities import Inquiry
    from .config import SwiftSettings
    from .content import Content
    from .objects import ObjectInfo

logger = logging.getLogger(__name__)

#: Seconds for which a completed or aborted upload is remembered.
REMEMBERED = 7 * 24 * 3600
#: Seconds for which a container of segments is believed to be there, or not to be.
BELIEF = 300.0

_ID = re.compile("[0-9a-f]{32}")
_TYPE = "application/x-segment;of="  # Swift would take a space out.
_SEGMENT = re.compile(r"([0-9a-f]{64})/([0-9a-f]{32})/(.+)", re.DOTALL)
_PART = re.compile(r"([0-9]{6})/([0-9a-f]{32})")
_MARKERS = "uploads/"
_MARKER = re.compile(f"{_MARKERS}[0-9a-f]{{64}}/[0-9a-f]{{32}}")


class Unreadable(SwiftError):
    """What somebody has put among the segments, or in the place of a manifest, is none of ours."""


def hash_of(name: str) -> str:
    """Return what stands for an object's name in those of its segments."""
    return hashlib.sha256(name.encode()).hexdigest()


def path_in(marker: Marker) -> str:
    """Return what the names of an upload's segments begin with."""
    return f"{hash_of(marker.name)}/{marker.id}/"


def is_id(text: str) -> bool:
    """Tell whether an upload can have this id: it may come from a stranger."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True)
class Segment:
    """What a manifest lists."""

    #: ``/<container>/<object>``; empty for bytes that are in the manifest itself.
    path: str
    #: MD5; of a manifest, that of its segments' ETags together.
    etag: str
    size: int
    is_manifest: bool = False
    #: Bytes of the object that are used; None: all.
    range: str | None = None

    @property
    def container(self) -> str:
        """The container that it is in."""
        return self.path.split("/", 2)[1]

    @property
    def name(self) -> str:
        """What it is called there."""
        return self.path.split("/", 2)[2]


@dataclass(frozen=True)
class Stored:
    """One object of the container of segments, as a listing says it."""

    #: In the container.
    name: str
    upload: str
    #: The name of the object that it belongs to.
    owner: str
    info: ObjectInfo

    @property
    def part(self) -> Part | None:
        """The part of the upload that it is; None for a manifest."""
        found = _PART.fullmatch(self.name.split("/", 2)[2])
        if found is None:
            return None
        return Part(int(found[1]), self.info.size or 0, found[2], self.when())

    def when(self) -> float:
        """Return the Unix time, in seconds, at which it was stored."""
        modified = self.info.modified
        return modified.timestamp() if modified is not None else time.time()

    def age(self) -> float:
        """Return the seconds since it was stored."""
        return time.time() - self.when()


class Segments:
    """The container of the segments of one container. Lives as long as that."""

    def __init__(self, settings: SwiftSettings, caller: Caller, inquiry: Inquiry) -> None:
        self.name = settings.container + SEGMENTS
        strict = replace(
            settings,
            container=self.name,
            create_container=True,
            etag_mismatch_policy="raise_and_delete",
        )
        self.objects = Container(strict, caller)
        self._caller = caller
        self._inquiry = inquiry
        self._settings = strict

    def within(self, caller: Caller) -> Segments:
        """Return the same, asked by another caller."""
        view = copy.copy(self)
        view.objects = self.objects.within(caller)
        view._caller = caller  # noqa: SLF001 - a copy of ours
        return view

    def may_exist(self) -> bool:
        """Tell whether there may be segments, as far as is known without asking."""
        return not self.objects.was_missed(BELIEF)

    def exist(self) -> bool:
        """Tell whether there may be segments; the container is asked for now and then."""
        return self.objects.exists(BELIEF)

    # Segments.

    def put(self, marker: Marker, number: int, content: Content) -> Segment:
        """Store a segment, verified. One request.

        :raises FSError: as ``Container.put``.
        """
        name = segment_name(marker, number, content.etag)
        fields = {"content-type": _type_of(marker.name), **marker.expiry}
        self.objects.store(name, content, fields, overwrite=True)
        return self.segment(name, content.etag, content.size)

    def put_manifest(self, marker: Marker, name: str, segments: list[Segment]) -> Segment:
        """Store a manifest that is to be part of another. One request."""
        manifest = Manifest(segments)
        name = f"{path_in(marker)}manifest/{name}-{manifest.etag}"
        fields = {"content-type": _type_of(marker.name), **marker.expiry}
        self.objects.store(name, manifest, fields, overwrite=True, query=PUT_MANIFEST)
        joined = self.segment(name, manifest.etag, manifest.length)
        return replace(joined, is_manifest=True)

    def copy(self, segment: Segment, marker: Marker, number: int) -> Segment:
        """Copy a segment of another object inside Swift. One request."""
        name = segment_name(marker, number, segment.etag)
        fields = {"content-type": _type_of(marker.name), **marker.expiry}
        self.objects.copy_in(segment.path, name, segment.etag, fields)
        return self.segment(name, segment.etag, segment.size)

    def segment(self, name: str, etag: str, size: int) -> Segment:
        """Return what a manifest says of one of ours."""
        return Segment(self.path_of(name), etag, size)

    def part(self, marker: Marker, part: Part) -> Segment:
        """Return what a manifest says of a part."""
        return self.segment(segment_name(marker, part.number, part.etag), part.etag, part.size)

    def path_of(self, name: str) -> str:
        """Return how a manifest names what has this name here."""
        return f"/{self.name}/{name}"

    def inner(self, manifest: Segment) -> list[Segment]:
        """Return what a manifest lists that is listed in another, maybe of another container.

        :raises SwiftError: it is not there.
        """
        objects = self.objects
        if manifest.container != self.name:
            objects = Container(replace(self._settings, container=manifest.container), self._caller)
        listed = objects.manifest(manifest.name)
        if listed is None:
            raise Unreadable(f"the manifest {manifest.path} is listed in another, but absent")
        return read_manifest(listed)

    def delete(self, name: str) -> None:
        """Remove a segment; one that is absent counts as removed. One request."""
        self.objects.delete(name)

    def delete_many(self, names: Sequence[str]) -> Collection[str]:
        """Remove segments in bulk; return those that are to be removed one by one.

        One request for a thousand, and one more first, once: what Swift can do. No listing has
        to say what they are, as with objects: of a manifest nothing but its list is to go.

        :param names: each once.
        :raises FSError: some may have been removed.
        """
        try:
            capabilities = self._inquiry.ask(self._caller)
        except FSError:
            return names
        if capabilities.bulk_delete is None:
            return names
        return Bulk(self.objects, self._caller).remove(names, capabilities)

    def of(self, name: str) -> Iterator[tuple[str, list[Stored]]]:
        """Yield the uploads of an object that have segments, each with these."""
        return _by_upload(self._listed(hash_of(name) + "/"))

    def of_upload(self, marker: Marker, after: int = 0) -> Iterator[Stored]:
        """Yield the segments of an upload, by number, and what else is beside them.

        :param after: only those with greater numbers.
        """
        begin = path_in(marker)
        return self._listed(begin, f"{begin}{after:06}/~")

    def find(self, marker: Marker, number: int, etag: str) -> Part | None:
        """Return the part that a segment is; None where there is no such segment. One request."""
        headers = self.objects.headers(segment_name(marker, number, etag), newest=True)
        if not headers:
            return None
        stored = headers.get("x-timestamp")
        size = int(headers["content-length"])
        return Part(number, size, etag, None if stored is None else float(stored))

    # Receipts.

    def put_receipt(self, marker: Marker, part: Part) -> None:
        """Say what the part of a number is. One request.

        :raises FileExists: that was said before.
        """
        fields = {"content-type": _type_of(marker.name), **marker.expiry}
        content = Held(json.dumps([part.size, part.etag]).encode())
        self.objects.store(receipt_name(marker, part.number), content, fields, overwrite=False)

    def receipt(self, marker: Marker, number: int) -> Part | None:
        """Return what was said to be the part of a number; None: nothing. One request."""
        name = receipt_name(marker, number)
        try:
            with self.objects.get(name, newest=True) as stream:
                size, etag = json.loads(stream.read())
        except FileNotFound:
            return None
        except (TypeError, ValueError) as error:
            raise Unreadable(f"{self.name}/{name} is no receipt of a part") from error
        return Part(number, size, etag)

    def all(self) -> Iterator[tuple[str, list[Stored]]]:
        """Yield all uploads that have segments, each with these."""
        return _by_upload(self._listed(""))

    # Markers.

    def mark(self, marker: Marker) -> None:
        """Store a marker; what is no longer open expires. One request."""
        fields = {"content-type": _type_of(marker.name)}
        if marker.state == "open":
            fields.update(marker.expiry)  # Nothing can be made of its segments after that.
        else:
            fields["x-delete-after"] = str(REMEMBERED)
        content = Held(json.dumps(asdict(marker)).encode())
        self.objects.store(_marker_name(marker.name, marker.id), content, fields, overwrite=True)

    def unmark(self, marker: Marker) -> None:
        """Remove a marker. One request."""
        self.objects.delete(_marker_name(marker.name, marker.id))

    def marker(self, name: str, upload: str) -> Marker | None:
        """Return the newest state of an upload's marker; None where there is none. One request."""
        return self._read(_marker_name(name, upload))

    def markers(self) -> Iterator[Marker]:
        """Yield all markers that can be read. One request per page, and one for each."""
        for name in self.marker_names():
            marker = self.read_marker(name)
            if marker is not None:
                yield marker

    def marker_names(self, of: str = "") -> Iterator[str]:
        """Yield what all markers are called here. One request per page.

        :param of: the name of the only object whose markers are wanted.
        """
        for page in self.objects.pages(_MARKERS + (f"{hash_of(of)}/" if of else "")):
            yield from filter(_MARKER.fullmatch, listed_names(page))

    def read_marker(self, name: str) -> Marker | None:
        """Return a marker by what it is called; None where it is gone, or cannot be read."""
        try:
            return self._read(name)
        except Unreadable as error:
            logger.warning("it is left alone: %s", error)
            return None

    def _read(self, name: str) -> Marker | None:
        try:
            with self.objects.get(name, newest=True) as stream:
                marker = Marker(**json.loads(stream.read()))
            if _marker_name(marker.name, marker.id) != name:
                raise ValueError("it is another's")
        except FileNotFound:
            return None
        except (TypeError, ValueError, AttributeError) as error:
            raise Unreadable(f"{self.name}/{name} is no marker of an upload") from error
        return marker

    def _listed(self, prefix: str, after: str = "") -> Iterator[Stored]:
        for page in self.objects.pages(prefix, after=after):
            for entry in page:
                stored = _stored(entry)
                if stored is not None:
                    yield stored


#: The query with which a manifest is put, or got, rather than what it joins.
PUT_MANIFEST = "multipart-manifest=put"
GET_MANIFEST = "multipart-manifest=get"


class Manifest:
    """A list of segments, as content that is put (Swift API reference, "Static large objects").

    Swift looks at every segment, and compares its ETag and its size, before it stores the
    list. The ETag is that of the large object: Swift compares this too.
    """

    def __init__(self, segments: list[Segment]) -> None:
        self._json = json.dumps(
            [{"path": s.path, "etag": s.etag, "size_bytes": s.size} for s in segments]
        ).encode()
        #: Of the list itself, in bytes.
        self.size = len(self._json)
        #: Of what it joins, in bytes.
        self.length = sum(segment.size for segment in segments)
        self.etag = md5_of("".join(segment.etag for segment in segments).encode())

    def body(self) -> bytes:
        """Return the list."""
        return self._json

    def release(self) -> None:
        """Do nothing: it is in memory."""

    def close(self) -> None:
        """Do nothing: it is in memory."""


def read_manifest(text: bytes) -> list[Segment]:
    """Read what Swift answers when it is asked for a manifest.

    :raises SwiftError: it is none.
    """
    try:
        listed = json.loads(text)
        if not isinstance(listed, list):
            raise TypeError("it is no list")
        return [_listed_segment(entry) for entry in listed]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Unreadable(f"a manifest cannot be read ({type(error).__name__})") from error


def _listed_segment(entry: Mapping[str, Any]) -> Segment:
    if "data" in entry:
        data = base64.b64decode(entry["data"])
        return Segment("", md5_of(data), len(data))
    return Segment(
        path=entry["name"],
        etag=unquoted(entry["hash"]) or "",
        size=int(entry["bytes"]),
        is_manifest=bool(entry.get("sub_slo", False)),
        range=entry.get("range"),
    )


def uploads_in(segments: Iterable[Segment], container: str, name: str) -> set[str]:
    """Return the ids of an object's uploads that a manifest refers to.

    :param container: that of the segments.
    """
    begin = f"/{container}/{hash_of(name)}/"
    found = {s.path.removeprefix(begin)[:32] for s in segments if s.path.startswith(begin)}
    return {upload for upload in found if is_id(upload)}


def segment_name(marker: Marker, number: int, etag: str) -> str:
    """Return what a segment is called in its container."""
    return f"{path_in(marker)}{number:06}/{etag}"


def receipt_name(marker: Marker, number: int) -> str:
    """Return what the receipt of a part is called in its container."""
    return f"{path_in(marker)}receipts/{number:06}"


def _marker_name(name: str, upload: str) -> str:
    return f"{_MARKERS}{hash_of(name)}/{upload}"


def _type_of(name: str) -> str:
    return _TYPE + base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _owner(content_type: str) -> str | None:
    text = content_type.removeprefix(_TYPE)
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return None


def _stored(entry: Mapping[str, Any]) -> Stored | None:
    """Return what a listing says; None for what is no segment of ours."""
    info = listed_info(entry)
    found = _SEGMENT.fullmatch(info.name)
    owner = _owner(info.content_type)
    if found is None or owner is None or hash_of(owner) != found[1]:
        return None
    return Stored(info.name, found[2], owner, info)


def _by_upload(listed: Iterator[Stored]) -> Iterator[tuple[str, list[Stored]]]:
    for (_, upload), segments in groupby(listed, lambda stored: (stored.owner, stored.upload)):
        yield upload, list(segments)
