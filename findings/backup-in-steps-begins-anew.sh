#!/bin/sh
# Expected: SQLite's online backup in steps of 100 pages (the shell's `.backup`, Connection.backup(pages=100)) gets
#   through beside a program that writes: "online" is its name, and other programs only make it copy some pages twice.
# True: each commit of another connection between two steps makes it begin anew from the first page. Beside a writer that
#   commits now and then it copies a multiple of the database, and beside a busy one it never ends. One step of all pages
#   (pages=-1), VACUUM INTO and .dump are not touched by that.
# Seen: SQLite 3.53.4 in pysqlite3 0.6.1 (PyPI), on 2026-11-30.
# Source: sqlite.org/backup.html ("automatically restarted").
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check pysqlite3==0.6.1
v/bin/python - <<'PY'
import sys

from pysqlite3 import dbapi2 as sqlite3

source, writer = sqlite3.connect("a.db"), sqlite3.connect("a.db", isolation_level=None)
source.execute("PRAGMA journal_mode = WAL")
source.execute("CREATE TABLE t (x)")
source.executemany("INSERT INTO t VALUES (?)", [("x" * 3000,)] * 1500)
source.commit()
(pages,) = source.execute("PRAGMA page_count").fetchone()


def steps(pages_a_step, commit_after):
    """Count the steps of a backup, with one commit of the other connection after each of the first so many."""
    count = 0

    def progress(status, remaining, total):
        nonlocal count
        count += 1
        if count <= commit_after:
            writer.execute("INSERT INTO t VALUES (1)")

    target = sqlite3.connect(":memory:")
    source.backup(target, pages=pages_a_step, progress=progress)
    assert target.execute("PRAGMA quick_check").fetchone() == ("ok",)
    return count


alone, beside, whole = steps(100, 0), steps(100, 50), steps(-1, 50)
print(f"{pages} pages: {alone} steps alone; {beside} steps where 50 commits fell between them; all at once: {whole}")
sys.exit(not (alone == -(-pages // 100) and beside >= 50 + alone - 1 and whole == 1))
PY
