"""Look for secrets where nobody should find them."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_TELLING = 16  # characters; so much of a token swiftclient would log if it were let


def assert_untold(caplog: pytest.LogCaptureFixture, *secrets: str) -> None:
    """Fail if a secret is in a record of any logger, or in what a handler makes of one."""
    told = [caplog.text, *(repr(vars(record)) for record in caplog.records)]
    _search("".join(told), secrets)


def assert_unnamed(error: BaseException, *secrets: str) -> None:
    """Fail if a secret is in an error, or in what a traceback shows of it and its causes."""
    told = [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
    _search("".join(told), secrets)


def loggers(caplog: pytest.LogCaptureFixture) -> set[str]:
    """Return the top-level loggers that had something to say."""
    return {record.name.partition(".")[0] for record in caplog.records}


def _search(text: str, secrets: tuple[str, ...]) -> None:
    for secret in secrets:
        assert secret, "an empty secret would be found anywhere"
        assert secret[:_TELLING] not in text
