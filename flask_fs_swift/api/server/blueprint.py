"""The service: an objectstore server as a blueprint, over the files of a storage.

One rule takes every path below the prefix, and the raw target of the request says what it
names: a path that was decoded has lost where its segments end, and what was signed. Nothing
is normalised and nothing is redirected. A request is done in this order:

1. Not too many are in flight, or 503.
2. The resource is known, or 404; it has the method, or 405.
3. Its sender is known: 400 or 401.
4. The place and the key are ones: 400.
5. Nothing is switched off there (403), and nothing over its limits (429).
6. The handler checks what else came with it: 400, 415, 422.
7. It asks whether the usecase allows that (400), the token (403), and the others that run (429).
8. It does it: 404, 416, 429, 500.

An answer before a body has come in whole reads up to 1 MiB more of it. What is left is the
server's: gunicorn closes the connection.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from flask import Blueprint, current_app, request
from werkzeug.routing import BaseConverter

from flask_fs_swift.api.escaping import key_of
from flask_fs_swift.api.keys import read_keys
from flask_fs_swift.api.places import Place
from flask_fs_swift.api.refusals import Refusal

from . import batches, health, multipart, objects, resumable
from .answers import answered, metered, refusal_of
from .body import Body
from .gate import Gate
from .limits import kind_of, read_limits
from .service import Call, Service, Target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flask.blueprints import BlueprintSetupState
    from werkzeug.wrappers import Response

    from flask_fs_swift.api.expiration import Policy
    from flask_fs_swift.storage import Storage

    from .limits import Limits
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
    limits: Limits | None = None,
    probes: str | None = None,
    name: str = "objectstore",
) -> Blueprint:
    """Return a blueprint that serves a storage by the objectstore protocol.

    Register it with ``url_prefix="/v1"``: published clients look there.

    :param keys: whom it trusts: see :mod:`.keys`. None: nobody, so that nothing is done.
    :param usecases: what their writers may choose; those that are not named, everything.
    :param enforce: whether who may not do a thing is refused. If not, that is only logged, and
        without keys nobody is asked for a token.
    :param limits: what is done at most; None: what the application's settings say, which are
        read when the blueprint is registered. See :mod:`.limits`.
    :param probes: a path, below which ``health``, ``ready`` and ``keda`` are answered too, such
        as ``/``.
    :param name: of the blueprint.
    :raises ConfigError: a key is none, or, when it is registered, a setting is wrong.
    """
    directory = read_keys("keys", keys) if keys is not None else {}
    blueprint = Blueprint(name, __name__)
    base = (probes or "").rstrip("/")

    def add_rules(state: BlueprintSetupState) -> None:
        gate = Gate(limits or read_limits(state.app.config))
        service = Service(directory, usecases or {}, gate, enforce=enforce)

        def answer(rest: str) -> Response:  # noqa: ARG001 - the raw target has it as it was sent
            return _answer(service, files)

        for probe in PROBES if probes is not None else ():
            state.app.add_url_rule(
                f"{base}/{probe}",
                f"{state.name}_{probe}",
                partial(_answer_probe, probe, service, files),
                methods=_METHODS,
                provide_automatic_options=False,
            )
        state.app.url_map.converters["objectstore_rest"] = Anything
        state.add_url_rule(
            "/<objectstore_rest:rest>",
            "serve",
            answer,
            methods=_METHODS,
            merge_slashes=False,
            provide_automatic_options=False,
        )

    blueprint.record(add_rules)
    return blueprint


def _answer(service: Service, files: Storage) -> Response:
    body = ticket = None
    try:
        _check_server(request.environ)
        target = _target(request.environ, str(request.url_rule).partition("<")[0])
        if target.resource in PROBES:
            return _answer_probe(target.resource, service, files)
        body = Body(request.environ)
        ticket = service.gate.enter()
        response = _dispatched(service, files, target, body)
    except Exception as error:  # noqa: BLE001 - every one of them is an answer
        refusal = refusal_of(error)
        if body is not None:
            body.meter = None
            body.drain()
        response = answered(refusal)
    if body is not None and body.meter is not None:
        metered(response, body.meter)
    if ticket is not None:
        response.call_on_close(ticket.close)
    return response


def _answer_probe(probe: str, service: Service, files: Storage) -> Response:
    if request.method not in {"GET", "HEAD"}:
        return answered(Refusal(405, form="empty"))
    return PROBES[probe](service, files)


def _dispatched(service: Service, files: Storage, target: Target, body: Body) -> Response:
    handler = _handler(target)
    authority = service.authenticate(request.method, target, request.headers)
    try:
        place = Place.parse(target.usecase, target.scopes)
        key = key_of(target.key) if target.key else None
    except ValueError as error:
        raise Refusal.of(400, error, form="text") from error
    # What a batch does, each of its operations says.
    does = None if target.resource == "objects:batch/" else kind_of(request.method)
    body.meter = service.gate.admit(place, does)
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
    with call.held:
        response = handler(service, call)
    # And what it takes while it is sent.
    response.call_on_close(call.held.close)
    return response


def _handler(target: Target) -> Handler:
    resource = target.resource
    if resource.rstrip("/") not in _RESOURCES:
        raise Refusal(404, form="empty")
    if resource.rstrip("/") == "objects" and request.method in _WRITING:
        # What it has besides is looked at when it is known who asks.
        given = {unquote(piece.partition("=")[0]) for piece in target.query.split("&")}
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
