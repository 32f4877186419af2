#!/bin/sh
# Expected: an index on t(seen) holds the rowid too, in order. So WHERE (seen, rowid) < (?, ?) ORDER BY seen DESC, rowid
#   DESC, the usual way to go on after a page's last row, starts in the index just there.
# True: only the first column of the row value is used for the search. Each page begins with the first row of the same
#   `seen` again, so a table with many equal values is read once more for each page. Where the second column is a real
#   one of the index, both are used; and so they are in WHERE seen = ? AND rowid < ?.
# Seen: SQLite 3.53.4 in pysqlite3 0.6.1 (PyPI), on 2026-11-30.
# Source: sqlite.org/rowvalue.html, "Scrolling Window Queries", which shows this use with columns.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check pysqlite3==0.6.1
v/bin/python - <<'PY'
import sys

from pysqlite3 import dbapi2 as sqlite3

database = sqlite3.connect(":memory:")
database.execute("CREATE TABLE t (seen, number)")
database.execute("CREATE INDEX by_seen ON t (seen)")
database.execute("CREATE INDEX by_both ON t (seen, number)")


def searched(where, order, index):
    statement = f"SELECT seen FROM t INDEXED BY {index} WHERE {where} ORDER BY {order}"
    plan = database.execute(f"EXPLAIN QUERY PLAN {statement}", [1] * where.count("?")).fetchall()
    return plan[0][3].rpartition("(")[2].rstrip(")") if "((" not in plan[0][3] else "both"


seen = {
    "(seen, rowid) < (?, ?)": searched("(seen, rowid) < (?, ?)", "seen DESC, rowid DESC", "by_seen"),
    "seen = ? AND rowid < ?": searched("seen = ? AND rowid < ?", "rowid DESC", "by_seen"),
    "(seen, number) < (?, ?)": searched("(seen, number) < (?, ?)", "seen DESC, number DESC", "by_both"),
}
for where, columns in seen.items():
    print(f"{where}: searched by {columns}")
sys.exit(list(seen.values()) != ["seen<?", "seen=? AND rowid<?", "both"])
PY
