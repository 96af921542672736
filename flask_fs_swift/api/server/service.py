"""What all requests of a server share, and what is known of each of them before it is done."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask_fs_swift.api.expiration import Policy
from flask_fs_swift.api.presigned import is_presigned, verify_presigned
from flask_fs_swift.api.refusals import Refusal
from flask_fs_swift.api.tokens import find_token, verify_token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from werkzeug.datastructures import Headers
    from werkzeug.wrappers import Response

    from flask_fs_swift.api.expiration import Expiration
    from flask_fs_swift.api.keys import KeyDirectory
    from flask_fs_swift.api.places import Place
    from flask_fs_swift.api.tokens import Authority
    from flask_fs_swift.storage import Storage

    from .body import Body
    from .gate import Gate

    #: Does one request. It raises a :class:`.Refusal` where it does not.
    Handler: TypeAlias = "Callable[[Service, Call], Response]"

logger = logging.getLogger(__name__)

_EVERYTHING = Policy()


@dataclass(frozen=True)
class Target:
    """What a request line names, as it was sent."""

    #: The first segment after the prefix; with a final slash where no key follows.
    resource: str
    #: The rest: usecase, scopes and key, each still encoded; what is not there is empty.
    usecase: str
    scopes: str
    key: str
    #: The whole, as it was signed.
    signed: str
    #: Without its question mark.
    query: str


@dataclass(frozen=True)
class Call:
    """One request for a place, or a key of it. Lives as long as the request."""

    method: str
    place: Place
    #: None where the request names none.
    key: str | None
    #: Decoded; of what is given twice, the last.
    query: Mapping[str, str]
    headers: Headers
    body: Body
    #: What its sender may do; None: anything.
    authority: Authority | None
    #: The storage.
    files: Storage
    #: Unix time, in seconds.
    now: float = field(default_factory=time.time)
    #: What it holds until its handler has returned; what it takes then, until its answer was sent.
    held: ExitStack = field(default_factory=ExitStack)

    @property
    def name(self) -> str:
        """The name of the key's object in the storage.

        :raises ValueError: see :meth:`.Place.name_of`.
        """
        return self.place.name_of(self.key or "")


class Service:
    """What a server knows. Lives as long as its application, and is shared by all threads."""

    def __init__(
        self, keys: KeyDirectory, usecases: Mapping[str, Policy], gate: Gate, *, enforce: bool
    ) -> None:
        self._keys = keys
        self._usecases = usecases
        self._enforces = enforce
        #: Its limits.
        self.gate = gate

    def authenticate(self, method: str, target: Target, headers: Headers) -> Authority | None:
        """Return what the sender of a request may do; None: anything.

        :raises Refusal: 400, 401 or 403.
        """
        if not self._enforces and not self._keys:
            return None
        now = time.time()
        try:
            if is_presigned(target.query):
                return verify_presigned(method, target.signed, self._keys, now)
            token = find_token(headers.get("x-os-auth"), headers.get("authorization"), target.query)
            return verify_token(token, self._keys, now)
        except Refusal as error:
            self._refuse(error)
            return None

    def permit(self, call: Call, permission: str) -> None:
        """Make sure that a request may do something now: the last step before the storage.

        One more operation runs from here on until the handler has returned. Once per request.

        :raises Refusal: 403, 429.
        """
        self.allow(call, permission)
        call.held.enter_context(self.gate.permit())

    def allow(self, call: Call, permission: str) -> None:
        """Make sure that the sender of a request may do something where it wants to.

        :raises Refusal: 403.
        """
        place = call.place
        authority = call.authority
        if authority and not authority.allows(permission, place.usecase, place.scopes):
            self._refuse(Refusal(403, f"the token does not allow {permission} here"))

    def check_policy(self, place: Place, expiration: Expiration) -> None:
        """Make sure that an object may expire so.

        :raises Refusal: 400.
        """
        try:
            self.policy_of(place).check(expiration)
        except ValueError as error:
            raise Refusal.of(400, error) from error

    def policy_of(self, place: Place) -> Policy:
        """Return what the writers of a usecase may choose."""
        return self._usecases.get(place.usecase, _EVERYTHING)

    def _refuse(self, refusal: Refusal) -> None:
        if self._enforces:
            raise refusal
        logger.warning("allowed, because authorisation is not enforced: %s", refusal)
