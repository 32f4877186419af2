"""Log entries as text: what values become, and that none forges a line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.service.log.lines import VALUE_LIMIT, console_line, json_line, message, plain, to_entry

DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def entry(**keys: Any) -> dict[str, Any]:
    return to_entry({"timestamp": "2026-11-22T01:02:03.000004Z", "level": "info", "event": "resolved", **keys})


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "nan"),
        (10**30, str(10**30)),
        pytest.param(10**5000, "<unprintable int>", id="more digits than Python writes"),
        (b"\xff\x00", "\\xff\x00"),
        ("\ud800", "\\ud800"),
        (Path("/var/lib"), "/var/lib"),
        (("a", None), ["a", None]),
        ({1: {2}}, {"1": [2]}),
        (Unprintable(), "<unprintable Unprintable>"),
        (list(range(200)), [*range(100), "… (200 items)"]),
        ([[[["deep"]]]], [[["['deep']"]]]),
    ],
)
def test_values_become_plain_data(value: object, shown: object) -> None:
    assert plain(value) == shown


def test_a_value_is_cut_at_its_limit_and_says_how_long_it_was() -> None:
    assert plain("x" * 100_000) == "x" * VALUE_LIMIT + "… (100000 characters)"
    assert len(plain(["y" * 1_000] * 50)) < VALUE_LIMIT + 40


def test_a_console_line_is_time_level_event_and_keys() -> None:
    line = console_line(entry(ip="192.0.2.1", org="Some Org", asn=None, left=["a", 1]), colours=False)
    assert line == '2026-11-22T01:02:03Z info     resolved ip=192.0.2.1 org="Some Org" asn=null left=["a", 1]\n'


def test_a_traceback_on_the_console_is_indented() -> None:
    line = console_line(entry(exception="Traceback:\n  x\x1b[2J\r\x85y"), colours=False)
    assert line.endswith(" resolved\n    Traceback:\n      x\\u001b[2J\n    \n    y\n")


def test_colours_change_nothing_but_the_colours() -> None:
    coloured = console_line(entry(ip="192.0.2.1"), colours=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == console_line(entry(ip="192.0.2.1"), colours=False)
    assert coloured != console_line(entry(ip="192.0.2.1"), colours=False)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a b=c", '"a b=c"'),
        ("", '""'),
        ('say "x"', '"say \\"x\\""'),
        ("x\n2026-11-22T00:00:00Z critical forged", '"x\\n2026-11-22T00:00:00Z critical forged"'),
        ("\x1b[31mred\x7f", '"\\u001b[31mred\\u007f"'),
        ("\u202eevil\U000e0001", '"\\u202eevil\\udb40\\udc01"'),
        ("Türkiye", "Türkiye"),
    ],
)
def test_a_value_is_one_word_or_quoted(value: str, shown: str) -> None:
    assert message(entry(value=value)) == f"resolved value={shown}"


@given(event=st.text(st.characters()), value=DATA, trace=st.text(st.characters()))
def test_nothing_forges_a_line_in_any_format(event: str, value: object, trace: str) -> None:
    made = entry(event=event, value=value, exception=trace)
    line = json_line(made)
    console = console_line(made, colours=False)
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert json.loads(line) == made
    for text in (console.removesuffix("\n"), message(made)):
        first, *rest = text.split("\n")
        assert first.isprintable()
        assert all(each.isprintable() and each.startswith("    ") for each in rest)
