"""A page to upload, import, list, play, download and delete files, kept in OpenStack Swift.

Without settings it runs a Swift of its own and keeps the files below ``instance/``. For
another Swift, set the environment: Flask reads the setting ``FS_SWIFT_AUTHURL`` from the
variable ``FLASK_FS_SWIFT_AUTHURL``, and so on. Values are JSON where they can be read as
JSON, so a key of digits needs quotation marks of its own: ``FLASK_FS_SWIFT_KEY='"1234"'``.

It has no accounts: whoever reaches it can read and delete everything.
"""

from __future__ import annotations

from http import HTTPStatus
from itertools import islice
from typing import IO, TYPE_CHECKING, cast
from urllib.parse import urlsplit
from zipfile import BadZipFile, ZipFile

from flask import Flask, abort, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.routing import PathConverter

from flask_fs_swift import (
    ALL,
    FS,
    AtCapacity,
    AuthFailed,
    FileExists,
    FileNotFound,
    FileTooLarge,
    FSError,
    InvalidName,
    PoolExhaustedError,
    Put,
    QuotaExceeded,
    Storage,
    SwiftUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from zipfile import ZipInfo

    from flask import Response
    from werkzeug.wrappers import Response as AnyResponse

#: Lines on one page.
PAGE = 1000
#: What went wrong: the status of the answer, and what to tell the visitor.
PROBLEMS: list[tuple[type[FSError], HTTPStatus, str]] = [
    (FileExists, HTTPStatus.CONFLICT, "exists already and was kept. Tick “Replace” to replace it."),
    (FileNotFound, HTTPStatus.NOT_FOUND, "does not exist, or no longer."),
    (FileTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "is too large and was not stored."),
    (QuotaExceeded, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "does not fit: the space is used up."),
    (InvalidName, HTTPStatus.BAD_REQUEST, "is no name that a file can have."),
    (SwiftUnavailable, HTTPStatus.SERVICE_UNAVAILABLE, "could not be reached. Try again later."),
    (AuthFailed, HTTPStatus.SERVICE_UNAVAILABLE, "could not be reached: Swift lets nobody in."),
    (PoolExhaustedError, HTTPStatus.SERVICE_UNAVAILABLE, "has to wait: too much is going on."),
    (AtCapacity, HTTPStatus.SERVICE_UNAVAILABLE, "has to wait: too much is going on."),
    (FSError, HTTPStatus.BAD_GATEWAY, "could not be handled: Swift refused."),
]

app = Flask(__name__)
app.config.from_mapping(
    FS_SWIFT_AUTHURL="embedded",
    FS_SWIFT_CREATE_CONTAINER=True,
    FS_SWIFT_MAX_SIZE=5 * 1024**3,  # What one object of a Swift can be, unless it is set lower.
    FS_SWIFT_DEADLINE=20,  # Seconds that a visitor waits for a Swift that fails.
)
app.config.from_prefixed_env()

files = Storage("files", ALL)
FS(app, files)


class NameConverter(PathConverter):
    """Any name. A ``path`` would not take one that begins with a slash."""

    regex = ".+?"
    part_isolating = False


app.url_map.converters["name"] = NameConverter
app.url_map.merge_slashes = False  # "a//b" and "a/b" are two files.


@app.get("/")
def index() -> str:
    """List one folder."""
    return page(request.args.get("folder", ""), request.args.get("after", ""))


@app.post("/")
def upload() -> AnyResponse | tuple[str, HTTPStatus]:
    """Store the files of the form, each for itself: one that fails does not stop the others."""
    folder = request.form.get("folder", "").strip("/")
    folder = folder and f"{folder}/"
    failed: list[FSError] = []
    for file in request.files.getlist("files"):
        # The last part of what came is kept as it is: it names an object, no place on a disk.
        name = (file.filename or "").rpartition("/")[2]
        if not name:
            continue  # No file was chosen.
        try:
            files.save(file, folder + name, overwrite="replace" in request.form)
        except FSError as error:
            failed.append(error)
    if failed:
        return page(folder, problems=[explained(error) for error in failed]), status_of(failed[0])
    return redirect(url_for("index", folder=folder or None), HTTPStatus.SEE_OTHER)


@app.post("/import")
def import_archive() -> str | tuple[str, HTTPStatus]:
    """Store the files of a zip archive, many at once, and tell of each what became of it."""
    folder = request.form.get("folder", "").strip("/")
    folder = folder and f"{folder}/"
    # It can seek: small ones are in memory, large ones on the disk.
    uploaded = cast("IO[bytes]", request.files["archive"])
    try:
        with ZipFile(uploaded) as archive:
            names = [info.filename for info in members(archive)]
            operations = (
                Put(folder + info.filename, unpacked(archive, info), "replace" in request.form)
                for info in members(archive)
            )
            outcomes = list(files.many(operations))
    except BadZipFile:
        return page(folder, problems=["This is no zip archive."]), HTTPStatus.BAD_REQUEST
    # They come as they end.
    errors = {outcome.index: outcome.error for outcome in outcomes}
    results = [(name, result_of(errors[index])) for index, name in enumerate(names)]
    stored = sum(error is None for error in errors.values())
    return render_template("page.html", folder=folder, results=results, stored=stored)


def members(archive: ZipFile) -> Iterator[ZipInfo]:
    """Yield what is no folder."""
    return (info for info in archive.infolist() if not info.is_dir())


def unpacked(archive: ZipFile, info: ZipInfo) -> Iterator[bytes]:
    """Yield the content of a file, which is not opened before it is stored.

    Where it is broken, or has a password, this raises in the middle of storing it: so
    that is its own outcome, and nothing of it is stored.
    """
    with archive.open(info) as file:
        while block := file.read(64 * 1024):
            yield block


def result_of(error: BaseException | None) -> str:
    """Say what became of a file of an archive; nothing, if it was stored."""
    if error is None:
        return ""
    return explained(error) if isinstance(error, FSError) else f"It could not be read: {error}"


@app.get("/files/<name:name>")
def download(name: str) -> AnyResponse:
    """Pass a file on as it comes from Swift: all of it, or the part that a player asks for.

    The response gives the connection back when it ends, also when the visitor has gone away.
    What could run on our own site is an attachment.
    """
    return files.serve(name)


@app.get("/play/<name:name>")
def play(name: str) -> AnyResponse | str:
    """Show a player, which fetches what it plays from ``download``, range by range."""
    info = files.info(name)
    kind = player(info.content_type)
    if kind is None:
        return redirect(url_for("download", name=name))
    return render_template("player.html", folder=folder_of(name), title=name, info=info, kind=kind)


@app.post("/delete")
def delete() -> AnyResponse:
    """Delete one file."""
    name = request.form["name"]
    files.delete(name)
    return redirect(url_for("index", folder=folder_of(name) or None), HTTPStatus.SEE_OTHER)


@app.before_request
def refuse_other_sites() -> None:
    """Refuse what a page of another site asks for (CSRF).

    Every browser says in ``Origin`` whose page sends a form, and no page can change that,
    so that no token or session is needed. Who sends none is no browser.
    """
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin is not None and urlsplit(origin).netloc != request.host:
        abort(HTTPStatus.FORBIDDEN, "Another site's page cannot send this form.")


@app.after_request
def distrust(response: Response) -> Response:
    """Have browsers take nothing for what it does not say it is, and run no scripts at all."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    return response


@app.errorhandler(NotFound)
def missing(error: NotFound) -> AnyResponse | NotFound | tuple[str, HTTPStatus]:
    """Tell which file is missing, if it is a file that is."""
    return failure(error.__cause__) if isinstance(error.__cause__, FSError) else error


@app.errorhandler(FSError)
def failure(error: FSError) -> tuple[str, HTTPStatus]:
    """Tell the visitor what went wrong, on a page that asks nothing more of Swift."""
    app.logger.warning("%s: %s", type(error).__name__, error)
    return render_template("page.html", folder="", problems=[explained(error)]), status_of(error)


def page(folder: str, after: str = "", problems: list[str] | None = None) -> str:
    """Render the list of one folder.

    :param after: the last name of the page before.
    """
    entries = files.list_infos(folder, "/", after=after)
    shown = list(islice(entries, PAGE))
    more = shown[-1].name if next(entries, None) else None
    return render_template(
        "page.html", folder=folder, entries=shown, after=after, more=more, problems=problems
    )


def folder_of(name: str) -> str:
    """Return the folder that a file is listed in, with its final slash; empty: the top level."""
    return name[: name.rstrip("/").rfind("/") + 1]


def explained(error: FSError) -> str:
    """Say what went wrong, in a sentence for the visitor."""
    _, _, sentence = problem(error)
    said = f"“{error.filename}” {sentence}" if error.filename is not None else f"It {sentence}"
    return f"{said} It may have been stored all the same." if error.maybe_applied else said


def status_of(error: FSError) -> HTTPStatus:
    """Return the status to answer with."""
    return problem(error)[1]


def problem(error: FSError) -> tuple[type[FSError], HTTPStatus, str]:
    """Return the first line of the table that fits."""
    return next(line for line in PROBLEMS if isinstance(error, line[0]))


@app.template_filter("player")
def player(content_type: str) -> str | None:
    """Return the element that plays such a file; None where none does."""
    kind = content_type.partition("/")[0].lower()
    return kind if kind in {"audio", "video"} else None


@app.template_filter("size")
def human_size(count: float) -> str:
    """Write a number of bytes with three digits and a unit."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


@app.template_filter("moment")
def moment(when: datetime) -> str:
    """Write a moment in UTC, to the minute."""
    return f"{when:%Y-%m-%d %H:%M}"


@app.template_filter("parents")
def parents(folder: str) -> list[tuple[str, str]]:
    """Return each folder on the way down, as its whole name and its last part."""
    parts = folder.split("/")[:-1]
    return [("/".join(parts[: at + 1]) + "/", part) for at, part in enumerate(parts)]
