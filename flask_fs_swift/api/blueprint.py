"""The service: an objectstore server as a blueprint, over the files of a storage.

One rule takes every path below the prefix, and the raw target of the request says what it
names: a path that was decoded has lost where its segments end, and what was signed. Nothing
is normalised and nothing is redirected. A request is done in this order:

1. The resource is known, or 404; it has the method, or 405.
2. Its sender is known: 400 or 401.
3. The place and the key are ones: 400.
4. The handler checks what else came with it: 400, 415, 422.
5. It asks whether the usecase allows that (400), and the token (403).
6. It does it: 404, 416, 429, 500.

An answer before a body has come in whole reads up to 1 MiB more of it. What is left is the
server's: gunicorn closes the connection.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from flask import Blueprint, current_app, request
from werkzeug.routing import BaseConverter

from . import batches, health, multipart, objects, resumable
from .answers import answered, refusal_of
from .body import Body
from .escaping import key_of
from .keys import read_keys
from .places import Place
from .refusals import Refusal
from .service import Call, Service, Target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flask.blueprints import BlueprintSetupState
    from werkzeug.wrappers import Response

    from flask_fs_swift.storage import Storage

    from .expiration import Policy
    from .service import Handler

#: Who does what. A resource with a final slash is named without a key. ``?session`` and
#: ``?upload_type`` are resources of their own: what does not know them must not store.
HANDLERS: dict[tuple[str, str], Handler] = {
    ("objects/", "POST"): objects.post,
    ("objects", "PUT"): objects.put,
    ("objects", "GET"): objects.get,
    ("objects", "HEAD"): objects.head,
    ("objects", "DELETE"): objects.delete,
    ("objects", "PATCH"): objects.patch,
    ("objects/?upload_type", "POST"): resumable.post,
    ("objects?upload_type", "PUT"): resumable.put,
    ("objects?session", "PUT"): resumable.put_chunk,
    ("objects?session", "DELETE"): resumable.cancel,
    ("objects:batch/", "POST"): batches.batch,
    ("objects:multipart/", "POST"): multipart.post,
    ("objects:multipart", "PUT"): multipart.put,
    ("objects:multipart", "DELETE"): multipart.abort,
    ("objects:multipart:parts", "PUT"): multipart.put_part,
    ("objects:multipart:parts", "GET"): multipart.list_parts,
    ("objects:multipart:complete", "POST"): multipart.complete,
}

#: What is asked without a place, by anybody.
PROBES = {"health": health.health, "ready": health.ready, "keda": health.keda}

_RESOURCES = frozenset(
    (
        "objects",
        "objects:batch",
        "objects:multipart",
        "objects:multipart:parts",
        "objects:multipart:complete",
    )
)
_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]
_WRITING = frozenset(("POST", "PUT", "DELETE"))
_VARIANTS = ("session", "upload_type")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")


class Anything(BaseConverter):
    """The rest of a path, whatever its characters."""

    regex = r"[\s\S]*"
    part_isolating = False


def objectstore(
    files: Storage,
    *,
    keys: Mapping[str, object] | str | Path | None = None,
    usecases: Mapping[str, Policy] | None = None,
    enforce: bool = True,
    name: str = "objectstore",
) -> Blueprint:
    """Return a blueprint that serves a storage by the objectstore protocol.

    Register it with ``url_prefix="/v1"``: published clients look there.

    :param keys: whom it trusts: see :mod:`.keys`. None: nobody, so that nothing is done.
    :param usecases: what their writers may choose; those that are not named, everything.
    :param enforce: whether who may not do a thing is refused. If not, that is only logged, and
        without keys nobody is asked for a token.
    :param name: of the blueprint.
    :raises ConfigError: a key is none.
    """
    directory = read_keys("keys", keys) if keys is not None else {}
    service = Service(directory, usecases or {}, enforce=enforce)
    blueprint = Blueprint(name, __name__)

    def answer(rest: str) -> Response:  # noqa: ARG001 - the raw target has it as it was sent
        return _answer(service, files)

    def add_rule(state: BlueprintSetupState) -> None:
        state.app.url_map.converters["objectstore_rest"] = Anything
        state.add_url_rule(
            "/<objectstore_rest:rest>",
            "serve",
            answer,
            methods=_METHODS,
            merge_slashes=False,
            provide_automatic_options=False,
        )

    blueprint.record(add_rule)
    return blueprint


def _answer(service: Service, files: Storage) -> Response:
    service.began()
    body = None
    try:
        _check_server(request.environ)
        body = Body(request.environ)
        response = _dispatched(service, files, body)
    except Exception as error:  # noqa: BLE001 - every one of them is an answer
        refusal = refusal_of(error)
        if body is not None:
            body.drain()
        response = answered(refusal)
    except BaseException:
        service.ended()
        raise
    response.call_on_close(service.ended)
    return response


def _dispatched(service: Service, files: Storage, body: Body) -> Response:
    target = _target(request.environ, str(request.url_rule).partition("<")[0])
    probe = PROBES.get(target.resource)
    if probe is not None:
        if request.method not in {"GET", "HEAD"}:
            raise Refusal(405, form="empty")
        return probe(service)
    handler = _handler(target)
    authority = service.authenticate(request.method, target, request.headers)
    try:
        place = Place.parse(target.usecase, target.scopes)
        key = key_of(target.key) if target.key else None
    except ValueError as error:
        raise Refusal.of(400, error, form="text") from error
    call = Call(
        method=request.method,
        place=place,
        key=key,
        query=_parameters(target.query),
        headers=request.headers,
        body=body,
        authority=authority,
        files=files if files.is_bound else files.bound(current_app._get_current_object()),  # type: ignore[attr-defined]  # noqa: SLF001
    )
    return handler(service, call)


def _handler(target: Target) -> Handler:
    resource = target.resource
    if resource.rstrip("/") not in _RESOURCES:
        raise Refusal(404, form="empty")
    if resource.rstrip("/") == "objects" and request.method in _WRITING:
        given = _parameters(target.query)
        variant = next((each for each in _VARIANTS if each in given), None)
        if variant is not None:
            resource += f"?{variant}"
    handler = HANDLERS.get((resource, request.method))
    if handler is None:
        is_known = any(known == resource for known, _ in HANDLERS)
        raise Refusal(405 if is_known else 404, form="empty")
    return handler


def _target(environ: Mapping[str, Any], prefix: str) -> Target:
    """Return what the raw target of a request names.

    :param prefix: of the blueprint, with a final slash.
    :raises Refusal: 404, the prefix is not spelled as it is; 500, the server does not tell the
        target.
    """
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if not raw:
        raise Refusal(500, "this WSGI server does not tell the raw target: use gunicorn")
    origin = _ORIGIN.match(raw)
    path, mark, query = raw[origin.end() if origin else 0 :].partition("?")
    root = environ.get("SCRIPT_NAME", "").rstrip("/")
    # A proxy that takes a prefix away says so, and what was signed has it still.
    if not path.startswith(root + prefix):
        path = root + path
    if not path.startswith(root + prefix):
        raise Refusal(404, form="empty")
    resource, _, rest = path[len(root + prefix) :].partition("/")
    usecase, _, rest = rest.partition("/")
    scopes, _, key = rest.partition("/")
    if usecase and not key:
        resource += "/"
    return Target(resource, usecase, scopes, key, path + mark + query, query)


def _parameters(query: str) -> dict[str, str]:
    """Decode a query. A plus is one: clients write a space as %20."""
    pieces = [piece.partition("=") for piece in query.split("&") if piece]
    try:
        return {
            unquote(name, errors="strict"): unquote(value, errors="strict")
            for name, _, value in pieces
        }
    except UnicodeDecodeError as error:
        raise Refusal(400, "the query is not valid UTF-8", form="text") from error


def _check_server(environ: Mapping[str, Any]) -> None:
    """Make sure that headers leave as they are written: clients look for them in lower case.

    :raises Refusal: 500.
    """
    software = str(environ.get("SERVER_SOFTWARE", "")).lower()
    if software.startswith("waitress") or "waitress.client_disconnected" in environ:
        raise Refusal(
            500,
            "waitress capitalises the names of headers, which clients of this protocol then do "
            "not find: use gunicorn",
        )
