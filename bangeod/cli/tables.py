"""Plain text tables for people."""

import unicodedata
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Align columns to the left, two blanks between them; no column is cut."""
    lines = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(width(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(text + " " * (room - width(text)) for text, room in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    return printable("-" if value is None else str(value))


def printable(text: str) -> str:
    """Replace everything in a text that could move the cursor of a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def cut(text: str, columns: int) -> str:
    """Return a text that takes no more than so many columns, with an ellipsis for what is cut off."""
    if width(text) <= columns:
        return text
    while text and width(text) >= columns:
        text = text[:-1]
    return f"{text.rstrip()}…"


def count_of(number: int, one: str, many: str | None = None) -> str:
    """Return a number with the word for what it counts; ``many`` where its plural has more than an ``s``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
