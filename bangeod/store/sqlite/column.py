"""One column of a table of the web app: what SQLite says of it, and the SQL that writes a value into it."""

import re
from dataclasses import dataclass
from typing import Final

# sqlite.org/datatype3.html, 3.1: any type name may be declared, and its letters decide. A column declared as STRING or
# without a type is meant for text here, whatever its affinity is.
_NUMBER: Final = re.compile("INT|REAL|FLOA|DOUB|NUM|DEC", re.IGNORECASE)
_TEXT: Final = re.compile("CHAR|CLOB|TEXT", re.IGNORECASE)
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS: Final = frozenset({"NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"})
_TIMES: Final = frozenset({"cached_at", "last_seen"})  # as bytes they could not be read again
_GENERATED: Final = (2, 3)  # sqlite.org/pragma.html#pragma_table_xinfo: virtual and stored ones


@dataclass(frozen=True, slots=True)
class Column:
    """One column as ``pragma_table_xinfo`` describes it."""

    name: str
    key_position: int  # 0 if not in the primary key
    declared: str = ""  # the declared type, as written
    not_null: int = 0
    default: str | None = None  # an expression in SQL
    hidden: int = 0

    @property
    def is_generated(self) -> bool:
        """Say whether SQLite computes the column, so that it can't be written."""
        return self.hidden in _GENERATED

    @property
    def is_number(self) -> bool:
        return bool(_NUMBER.search(self.declared)) and ("INT" in self.declared.upper() or not self._is_text)

    @property
    def _is_text(self) -> bool:
        return bool(_TEXT.search(self.declared))

    @property
    def must_be_given(self) -> bool:
        """Say whether no row can be inserted without a value for it."""
        return bool(self.not_null) and self.default is None and not self.hidden

    def written(self, value: str, *, strict: bool) -> str:
        """Return the SQL expression to write; ``value`` is itself SQL, for a text or NULL.

        In a number column an AS number is written as a number. Where NULL is not allowed, the column's default stands
        for it, else an empty value of the column's type. ``strict``: the table is a STRICT one.
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
    """Return the SQL for a DEFAULT: a bare or double-quoted word is a text there, but a column name elsewhere."""
    if default.startswith('"') and default.endswith('"'):
        default = default[1:-1].replace('""', '"')
    elif not _WORD.fullmatch(default) or default.upper() in _KEYWORDS:
        return default
    quoted = default.replace("'", "''")
    return f"'{quoted}'"
