"""What the tests of large objects share: small segments, and what is in their container."""

from __future__ import annotations

import os
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import swiftclient

if TYPE_CHECKING:
    from flask_fs_swift import Storage
    from flask_fs_swift.devserver import DevServer, Faults
    from flask_fs_swift.devserver.requestlog import LoggedRequest

SEGMENT = 64 * 1024
CONTENT = os.urandom(3 * SEGMENT + 1)
OTHER = os.urandom(2 * SEGMENT + 7)
#: In the paths of requests.
MARKER = "_segments/uploads/"
A_SEGMENT = "_segments/[0-9a-f]{64}/[0-9a-f]{32}/[0-9]{6}/"
A_MANIFEST = "multipart-manifest=put"


class Beside:
    """The container of a storage's segments, as another program sees it."""

    def __init__(self, server: DevServer, files: Storage) -> None:
        self.container = f"{files.name}_segments"
        self.connection: Any = swiftclient.Connection(  # type: ignore[call-arg]
            authurl=server.auth_url, user=server.user, key=server.key
        )

    def entries(self) -> list[dict[str, Any]]:
        """Return what is there, markers too."""
        try:
            return list(self.connection.get_container(self.container, full_listing=True)[1])
        except swiftclient.ClientException as error:
            if error.http_status != 404:
                raise
            return []

    def segments(self) -> list[str]:
        """Return the names of the segments, and of the manifests among them."""
        return [each["name"] for each in self.entries() if not each["name"].startswith("uploads/")]

    def markers(self) -> list[str]:
        """Return the names of the markers."""
        return [each["name"] for each in self.entries() if each["name"].startswith("uploads/")]

    def sizes(self) -> list[int]:
        """Return the bytes of each segment, in the order of the parts."""
        found = [each for each in self.entries() if re.search(r"/[0-9]{6}/", each["name"])]
        return [each["bytes"] for each in found]

    def uploads(self) -> set[str]:
        """Return the ids of the uploads that have segments."""
        return {name.split("/")[1] for name in self.segments()}

    def delete(self, name: str) -> None:
        """Remove one."""
        self.connection.delete_object(self.container, name)


def beside(server: DevServer, files: Storage) -> Any:
    """Return a closing :class:`Beside`."""
    found = Beside(server, files)
    with closing(found.connection):
        yield found


def assert_whole(files: Storage, seen: Beside, name: str, content: bytes) -> None:
    """Check that there is this one large object, its segments, and nothing else beside."""
    assert files.read(name) == content
    size = files.info(name).size
    assert size == len(content)
    assert sum(seen.sizes()) == len(content)
    assert len(seen.uploads()) == 1
    assert seen.markers() == []


def asked(faults: Faults) -> list[str]:
    """Return the method of every request and what it was for, oldest first."""
    return [what(request) for request in faults.requests() if not request.path.startswith("/auth")]


def what(request: LoggedRequest) -> str:
    """Return the method of a request and what it was for."""
    path = f"{request.path}?{request.query}"
    if re.search(A_MANIFEST, path) or "multipart-manifest=get" in path:
        kind = "manifest"
    elif path.startswith("/info"):
        kind = "info"
    elif "bulk-delete" in path:
        kind = "bulk"
    elif re.search(MARKER, path):
        kind = "marker"
    elif re.search(A_SEGMENT, path):
        kind = "segment"
    elif "prefix=" in path:
        kind = "segments"
    else:
        kind = "object"
    return f"{request.method} {kind}"
