#!/bin/sh
# Expected: json_array(x) of a BLOB is an error ("JSON cannot hold BLOB values"), whatever its bytes are. So a table can be
#   read as JSON, row by row, and where that fails there was a BLOB.
# True: a BLOB whose bytes happen to be well-formed JSONB, SQLite's own binary form, is taken for it: x'01' becomes true,
#   x'1331' the number 1; others raise the error. So typeof() has to be asked as well.
# Seen: SQLite 3.53.4 in pysqlite3 0.6.1 (PyPI), on 2026-11-30; since SQLite 3.45, which brought JSONB.
# Source: sqlite.org/json1.html, on JSONB; found by hypothesis, in a test of a table that was read as JSON.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check pysqlite3==0.6.1
v/bin/python - <<'PY'
import sys

from pysqlite3 import dbapi2 as sqlite3

database = sqlite3.connect(":memory:")


def as_json(value):
    try:
        return database.execute("SELECT json_array(?)", (value,)).fetchone()[0]
    except sqlite3.OperationalError as error:
        return str(error)


seen = {blob.hex(): as_json(blob) for blob in (b"\x00", b"\x01", b"\x131", b"\xff", b"abc", b"")}
for blob, said in seen.items():
    print(f"json_array(x'{blob}'): {said}")
raised = "JSON cannot hold BLOB values"
sys.exit(seen != {"00": "[null]", "01": "[true]", "1331": "[1]", "ff": raised, "616263": raised, "": raised})
PY
