"""One column of a table of the web app's: what SQLite says of it, and what is written into it for a value."""

import re
from dataclasses import dataclass
from typing import Final

# sqlite.org/datatype3.html, 3.1: any type may be declared, and what it contains decides. What is declared as STRING or
# not at all is meant for text here, whatever its affinity is.
_NUMBER: Final = re.compile("INT|REAL|FLOA|DOUB|NUM|DEC", re.IGNORECASE)
_TEXT: Final = re.compile("CHAR|CLOB|TEXT", re.IGNORECASE)
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS: Final = frozenset({"NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"})
_TIMES: Final = frozenset({"cached_at", "last_seen"})  # as bytes they could not be read again
_GENERATED: Final = (2, 3)  # sqlite.org/pragma.html#pragma_table_xinfo: virtual and stored ones


@dataclass(frozen=True, slots=True)
class Column:
    """One column as ``pragma_table_xinfo`` tells it."""

    name: str
    key_position: int  # 0 where it is no part of the primary key
    declared: str = ""  # the type, as it was written
    not_null: int = 0
    default: str | None = None  # an expression in SQL
    hidden: int = 0

    @property
    def is_generated(self) -> bool:
        """Say whether SQLite works the column out, so that nothing can be written into it."""
        return self.hidden in _GENERATED

    @property
    def is_number(self) -> bool:
        """Say whether the column is meant for numbers."""
        return bool(_NUMBER.search(self.declared)) and ("INT" in self.declared.upper() or not self._is_text)

    @property
    def _is_text(self) -> bool:
        return bool(_TEXT.search(self.declared))

    @property
    def must_be_given(self) -> bool:
        """Say whether no row can be inserted without a value for it."""
        return bool(self.not_null) and self.default is None and not self.hidden

    def written(self, value: str, *, strict: bool) -> str:
        """Return the SQL expression that is written for a value, itself SQL for a text or NULL.

        An AS number is a number where the column is one for numbers. Where NULL is not allowed, it is the column's
        default, or else nothing in the column's type. ``strict``: the table is a STRICT one.
        """
        of_bytes = strict and self.declared.upper() == "BLOB" and self.name.lower() not in _TIMES
        if self.name.lower() == "asn" and self.is_number:
            value = f"CAST(substr({value}, 3) AS INTEGER)"  # without "AS"
        elif of_bytes:
            value = f"CAST({value} AS BLOB)"
        if not self.not_null:
            return value
        nothing = "0" if self.is_number else "x''" if of_bytes else "''"
        default = f"({_expression(self.default)}), " if self.default is not None else ""
        return f"coalesce({value}, {default}{nothing})"


def _expression(default: str) -> str:
    """Return what DEFAULT stands for: a word alone, or in double quotes, is a text there and a column elsewhere."""
    if default.startswith('"') and default.endswith('"'):
        default = default[1:-1].replace('""', '"')
    elif not _WORD.fullmatch(default) or default.upper() in _KEYWORDS:
        return default
    quoted = default.replace("'", "''")
    return f"'{quoted}'"
