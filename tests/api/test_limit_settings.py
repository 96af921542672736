"""The settings of the limits: what they may be, and what the documentation says of them."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from flask_fs_swift import ConfigError
from flask_fs_swift.api.places import Place
from flask_fs_swift.api.server.limits import PREFIX, Killswitch, Limits, kind_of, read_limits

PAGE = Path(__file__).parent.parent.parent / "docs" / "service" / "limits.md"

WRONG: dict[str, list[object]] = {
    "in_flight": [-1, 1.5, True, "5"],
    "requests": [0, -1, True, "5", float("inf"), float("nan")],
    "bytes": [0],
    "usecase_requests": [0],
    "usecase_bytes": [0],
    "scope_requests": [0],
    "scope_bytes": [0],
    "operations": [-1, 1.5],
    "queue": [-1],
    "queue_timeout": [0, "1"],
    "bulk_policy": ["windows", 1],
    "bulk_share": [0, 1.1],
    "bulk_ceiling": [0, 1.1],
    "killswitches": [
        {"usecase": "a"},
        "all",
        [1],
        [{"usecases": "a"}],
        [{"usecase": 5}],
        [{"scopes": ["org"]}],
        [{"scopes": {"org": 42}}],
        [{"kinds": ["reads"]}],
        [{"kinds": "read"}],
    ],
    "report_only": [1],
}


def test_nothing_is_limited_by_default() -> None:
    limits = Limits()
    assert read_limits({"OTHER": 1}) == limits
    off = {name: getattr(limits, name) for name in WRONG}
    assert [name for name, value in off.items() if value] == [
        "queue_timeout",
        "bulk_policy",
        "bulk_share",
        "bulk_ceiling",
    ]


@pytest.mark.parametrize("name", [each.name for each in fields(Limits)])
def test_a_wrong_value_is_refused_with_its_key(name: str) -> None:
    key = PREFIX + name.upper()
    for value in WRONG[name]:
        with pytest.raises(ConfigError, match=key) as caught:
            read_limits({key: value})
        assert caught.value.key == key
        given: dict[str, Any] = {name: value}
        with pytest.raises(ConfigError, match=name) as caught:
            Limits(**given)
        assert caught.value.key == name


def test_a_key_that_is_not_known_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="the nearest is FS_SERVICE_REQUESTS"):
        read_limits({"FS_SERVICE_REQEUSTS": 5})


def test_settings_become_limits() -> None:
    config = {
        "FS_SERVICE_REQUESTS": 5,
        "FS_SERVICE_OPERATIONS": 0,
        "FS_SERVICE_QUEUE": None,
        "FS_SERVICE_KILLSWITCHES": [{"usecase": "exports", "kinds": ["write"]}],
    }
    stopped = Killswitch("exports", kinds=["write"])
    assert read_limits(config) == Limits(requests=5, operations=0, killswitches=(stopped,))


@pytest.mark.parametrize(
    ("switch", "stopped"),
    [
        (Killswitch(), True),
        (Killswitch("here"), True),
        (Killswitch("there"), False),
        (Killswitch(scopes={"org": "1"}), True),
        (Killswitch(scopes={"project": "2", "org": "1"}), True),
        (Killswitch(scopes={"org": "2"}), False),
        (Killswitch(scopes={"org": "1", "team": "3"}), False),
        (Killswitch("there", {"org": "1"}), False),
        (Killswitch("here", {"org": "1"}, ["write", "delete"]), False),
        (Killswitch("here", {"org": "1"}, ["read"]), True),
        (Killswitch(kinds=[]), False),
    ],
)
def test_a_killswitch_stops_what_fits_all_that_it_says(switch: Killswitch, stopped: bool) -> None:
    place = Place.of("here", [("org", 1), ("project", 2)])
    assert switch.stops(place, "read") is stopped
    # Of what is not known yet, only that which is stopped whatever it is.
    assert switch.stops(place, None) is (stopped and switch.kinds is None)


def test_each_method_does_something() -> None:
    assert [kind_of(method) for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")] == [
        *("read", "read", "write", "write", "write", "delete")
    ]


def test_every_setting_is_documented_with_its_default() -> None:
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| `(.+?)` \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE
    )
    documented = {key.lower(): ast.literal_eval(default) for key, default, _, _ in rows}
    assert documented == {each.name: getattr(Limits(), each.name) for each in fields(Limits)}
    assert all(unit and meaning.endswith(".") for _, _, unit, meaning in rows)
