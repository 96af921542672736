"""One place of a server, for one caller: where requests go, and who is said to send them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from flask_fs_swift.api.escaping import path_of
from flask_fs_swift.api.tokens import new_token
from flask_fs_swift.events import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flask_fs_swift.api.keys import SigningKey
    from flask_fs_swift.api.places import Place
    from flask_fs_swift.events import EventHook

    from .calls import Answer, Calls
    from .connections import Line


@dataclass(frozen=True)
class Signer:
    """Who sends requests."""

    token: str | None = field(repr=False)
    key: SigningKey | None
    permissions: frozenset[str]
    #: Seconds for which a request's own token is good.
    lifetime: int

    def needed_key(self) -> SigningKey:
        """Return the key.

        :raises ValueError: there is none.
        """
        if self.key is None:
            raise ValueError("the client has no key to sign with: Client(…, key=(kid, pem))")
        return self.key

    def mint(
        self, place: Place, permissions: Iterable[str] | None = None, lifetime: int | None = None
    ) -> str:
        """Return a token for a place.

        :param permissions: None: all that the signer has.
        :param lifetime: seconds; None: that of a request's token.
        :raises ValueError: there is no key, or it was not given such a permission.
        """
        wanted = self.permissions if permissions is None else frozenset(permissions)
        if not wanted <= self.permissions:
            raise ValueError(f"the client has no permission {', '.join(wanted - self.permissions)}")
        seconds = self.lifetime if lifetime is None else lifetime
        key, now = self.needed_key(), time.time()
        return new_token(key, place.usecase, place.scopes, wanted, now, lifetime=seconds)

    def headers(self, place: Place) -> dict[str, str]:
        """Return the headers that say who sends a request."""
        token = self.token if self.key is None else self.mint(place)
        return {} if token is None else {"x-os-auth": f"Bearer {token}"}


class Endpoint:
    """A place of a server. Lives as long as its client; any threads and greenlets share it.

    :param on_event: told of each operation that has ended.
    """

    def __init__(
        self, calls: Calls, place: Place, signer: Signer, on_event: EventHook | None = None
    ) -> None:
        self.place = place
        self.signer = signer
        self._calls = calls
        self._on_event = on_event

    def watch(self, operation: str) -> Watch:
        """Return what times an operation, and tells how it has ended."""
        return Watch(self._on_event, operation, self.place.usecase)

    def target(self, key: str | None, resource: str = "objects", **query: object) -> str:
        """Return the target of a request.

        :param key: None: none, or one that the server makes up.
        :raises ValueError: the key is none.
        """
        path = f"/v1/{resource}/{'/'.join(self.place.segments)}/"
        path += "" if key is None else path_of(key)
        return f"{path}?{urlencode(query)}" if query else path

    def path(self, key: str) -> str:
        """Return the path of an object's URL."""
        return self._calls.base + self.target(key)

    @property
    def origin(self) -> str:
        """The scheme, the host and the port of the server."""
        return self._calls.origin

    def call(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: Iterable[bytes] | bytes | None = None,
        *,
        key: str | None,
        line: Line | None = None,
        patience: float | None = None,
    ) -> Answer:
        """Send a request, signed; the rest is :meth:`.Calls.call`'s."""
        signed = {**(headers or {}), **self.signer.headers(self.place)}
        return self._calls.call(method, target, signed, body, key=key, line=line, patience=patience)
