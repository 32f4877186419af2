"""A log entry as text: a line of JSON, a line for a terminal, the message in the journal.

Values come from anywhere (the database holds arbitrary text), so everything that is not printable is escaped: no value
can end its line, start another, or reach the terminal as a control sequence.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

# In this order: timestamp, level, event, the keys, exception. Values have JSON's types.
LogEntry = dict[str, Any]

EXPECTED: Final = "exception_is_expected"  # a key of the log call: the traceback is of an error raised on purpose

VALUE_LIMIT: Final = 8 * 1024  # characters of one value
EXCEPTION_LIMIT: Final = 1024 * 1024  # characters of one traceback
ITEM_LIMIT: Final = 100  # items of one list or mapping
DEPTH_LIMIT: Final = 3  # lists within lists
INTEGER_LIMIT: Final = 2**64  # beyond it JSON readers disagree

_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
_BARE = re.compile(r"""[^\s"'=\\\[\]{}]+""")
_LEADING: Final = ("timestamp", "level", "event")
_SET_APART: Final = {*_LEADING, "exception", EXPECTED}


class QuietTraceback(str):
    """A traceback for programs only: people read the error's own text instead, which says what to do."""

    __slots__ = ()


def to_entry(event: Mapping[str, Any]) -> LogEntry:
    """Order the keys of a log call, and reduce each value to bounded plain data. Never raises."""
    keys = [*_LEADING, *(key for key in event if key not in _SET_APART)]
    entry = {shorten(key): plain(event.get(key)) for key in keys}
    if "exception" in event:
        text = _encodable(str(event["exception"])[-EXCEPTION_LIMIT:])  # its end says what happened
        entry["exception"] = QuietTraceback(text) if event.get(EXPECTED) else text
    return entry


def plain(value: Any) -> Any:
    """Reduce a value to JSON's types. An exception becomes its text; a value that can't be rendered says so."""
    try:
        result = _plain(value, DEPTH_LIMIT)
        if isinstance(result, list | dict):
            text = json.dumps(result, ensure_ascii=False)
            return result if len(text) <= VALUE_LIMIT else shorten(text)
    except Exception:  # noqa: BLE001 - any __str__ may raise anything, and a log call must not
        return f"<unprintable {type(value).__name__}>"
    return result


def shorten(text: str) -> str:
    """Cut a text to VALUE_LIMIT, and say how long it was."""
    if len(text) > VALUE_LIMIT:
        text = f"{text[:VALUE_LIMIT]}… ({len(text)} characters)"
    return _encodable(text)


def json_line(entry: LogEntry) -> str:
    """Render the entry as one JSON object, with a newline."""
    return escape(json.dumps(entry, ensure_ascii=False)) + "\n"


def message(entry: LogEntry) -> str:
    """Render the journal's message for people: ``event key=value …``, a traceback in the lines below."""
    return "\n".join([" ".join([escape(str(entry["event"])), *_pairs(entry)]), *_traceback(entry)])


def console_line(entry: LogEntry, *, colours: bool) -> str:
    """Render the entry for a terminal, with a newline; a traceback follows, indented."""
    level = str(entry["level"])
    event = escape(str(entry["event"]))
    time = f"{str(entry['timestamp'])[:19]}Z"
    tag = f"{level:<8}"
    if colours:
        time, tag, event = _paint("2", time), _paint(_COLOURS.get(level, "0"), tag), _paint("1", event)
    first = " ".join([time, tag, event, *_pairs(entry, key_colour="36" if colours else "")])
    return "\n".join([first, *_traceback(entry)]) + "\n"


def escape(text: str) -> str:
    """Replace every unprintable character by its JSON escape; valid JSON stays valid."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    escaped = json.dumps(character)[1:-1]  # as \n, \u001b, or a surrogate pair
    return escaped if escaped != character else f"\\u{ord(character):04x}"  # JSON does not escape DEL


def _pairs(entry: LogEntry, key_colour: str = "") -> Iterable[str]:
    for key, value in entry.items():
        if key not in _SET_APART:
            name = escape(key)
            yield f"{_paint(key_colour, name) if key_colour else name}={_word(value)}"


def _word(value: Any) -> str:
    """Return a plain word as it is and all else as JSON, so that no value looks like another key=value."""
    if isinstance(value, str) and _BARE.fullmatch(value) and value.isprintable():
        return value
    return escape(json.dumps(value, ensure_ascii=False))


def _traceback(entry: LogEntry) -> list[str]:
    text = entry.get("exception", "")
    return [] if isinstance(text, QuietTraceback) else [f"    {escape(line)}" for line in text.splitlines()]


def _paint(colour: str, text: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m"


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < INTEGER_LIMIT:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping) and depth:
        return {_text(key): _plain(item, depth - 1) for key, item in islice(value.items(), ITEM_LIMIT)}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_plain(item, depth - 1) for item in islice(value, ITEM_LIMIT)] + _left_out(len(value))
    return _text(value)


def _left_out(length: int) -> list[str]:
    return [f"… ({length} items)"] if length > ITEM_LIMIT else []


def _text(value: Any) -> str:
    if isinstance(value, str):
        return shorten(str.__str__(value))  # a StrEnum's value, whatever its __str__
    if isinstance(value, bytes | bytearray):
        return shorten(value.decode(errors="backslashreplace"))
    if isinstance(value, BaseException):
        return shorten(str(value) or type(value).__name__)
    return shorten(str(value))


def _encodable(text: str) -> str:
    """Escape lone surrogates: no encoding has them."""
    return text.encode(errors="backslashreplace").decode()
