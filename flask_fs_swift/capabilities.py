"""What a Swift says that it can do: its ``/info``, asked once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlparse

from swiftclient import ClientException

from .call import Call
from .errors import OperationNotSupported

if TYPE_CHECKING:
    from swiftclient import Connection

    from .call import Caller

#: Answers of a Swift that does not tell. It was sent no token, so 401 is about none.
SILENT = frozenset({401, 403, 404, 405})


@dataclass(frozen=True)
class BulkDelete:
    """How many objects one request may remove."""

    #: Names.
    max_deletes: int
    #: After so many failures it stops, and says nothing of the names that are left.
    max_failed: int


class Capabilities:
    """The sections of one answer (Swift API reference, "Discoverability").

    :param said: by section; nothing where Swift does not tell.
    """

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said = said

    def __contains__(self, name: str) -> bool:
        return name in self._said

    def check(self, name: str, purpose: str) -> None:
        """Make sure that there may be a section.

        :param purpose: what it is needed for.
        :raises OperationNotSupported: Swift says what it can do, and that is not among it.
        """
        if self._said and name not in self:
            raise OperationNotSupported(
                f"this Swift has no {name!r} middleware, which is needed for {purpose}"
            )

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a section as it came; an empty one where there is none."""
        section = self._said.get(name)
        return section if isinstance(section, Mapping) else {}

    def number(self, section: str, name: str, default: int) -> int:
        """Return a number of a section, if it is one above 0."""
        value = self.section(section).get(name)
        good = isinstance(value, int) and not isinstance(value, bool) and value > 0
        return value if good else default  # type: ignore[return-value]

    @property
    def bulk_delete(self) -> BulkDelete | None:
        """Say how objects are removed in bulk; None: they are not."""
        name = "bulk_delete"
        if name not in self:
            return None
        # The defaults are Swift's own.
        return BulkDelete(
            max_deletes=self.number(name, "max_deletes_per_request", 10_000),
            max_failed=self.number(name, "max_failed_deletes", 1000),
        )


class Inquiry:
    """Asks for the capabilities, and remembers them. Lives as long as its backend.

    Anybody sets ``_known``, always to the same: two who ask at once cost a request.
    """

    def __init__(self) -> None:
        self._known: Capabilities | None = None

    def ask(self, caller: Caller) -> Capabilities:
        """Return the capabilities. One request, the first time.

        :raises FSError: Swift could not be asked; the next call tries again.
        """
        if self._known is None:
            call = Call("ask for the capabilities of Swift", None, caller.attempts())
            self._known = Capabilities(caller.run(call, _send))
        return self._known


def _send(connection: Connection) -> Mapping[str, Any]:
    address, http = connection.http_conn  # type: ignore[misc]
    path = urlparse(urljoin(address.geturl(), "/info")).path
    http.request("GET", path, "", {})
    answer = http.getresponse()
    body = answer.read()
    if answer.status in SILENT:
        return {}
    if not 200 <= answer.status < 300:
        raise ClientException.from_response(answer, "GET of /info failed", body)
    try:
        said = json.loads(body)
    except ValueError:  # Something in front of Swift has answered.
        return {}
    return said if isinstance(said, Mapping) else {}
