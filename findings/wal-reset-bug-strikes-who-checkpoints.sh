#!/bin/sh
# Expected: of two programs that share a database in WAL mode, the one whose SQLite is free of the WAL-reset bug
#   (3.51.3 and newer) can neither lose commits by it nor make the other lose any; or: one fixed side is enough.
# True: what counts is who checkpoints. An SQLite with the bug that checkpoints while a commit starts the WAL over loses
#   commits, also where that commit is of a fixed SQLite. One that is fixed loses none, whatever the other is. Reading a
#   large file through mmap first makes the moment long enough to be met within seconds: a checkpoint by a connection
#   that has to unmap it does so between its look at the WAL and the copying.
# Seen: SQLite 3.51.1 in pysqlite3-binary 0.5.4.post2 against 3.53.4 in pysqlite3 0.6.1 (PyPI), on 2026-11-30. It is a
#   race, so that the round varies. Needs 300 MB in /dev/shm.
# Source: sqlite.org/wal.html#walresetbug; walCheckpoint() in wal.c, which compares the WAL's salts since the fix.
set -eu
work=$(mktemp -d -p /dev/shm); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v
for each in pysqlite3-binary==0.5.4.post2 pysqlite3==0.6.1; do
    v/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --target "${each%%=*}" "$each"
done
cat >race.py <<'PY'
import multiprocessing
import os
import sys

_, checkpointer, writer, rounds = sys.argv


def connect(package):
    sys.path.insert(0, package)
    from pysqlite3 import dbapi2

    connection = dbapi2.connect("a.db", isolation_level=None, timeout=5)
    for pragma in ("wal_autocheckpoint = 0", "synchronous = NORMAL"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return dbapi2, connection


def write(going, written):
    _, connection = connect(writer)
    while True:
        with going:
            if going.value < 0:
                return
            if going.value:
                connection.execute("INSERT INTO canary VALUES (NULL)")
                written.value += 1


for name in ("a.db", "a.db-wal", "a.db-shm"):
    if os.path.exists(name):
        os.unlink(name)
going, written = multiprocessing.Value("i", 0), multiprocessing.Value("i", 0, lock=False)
process = multiprocessing.Process(target=write, args=(going, written))
sqlite, helper = connect(checkpointer)
helper.execute("PRAGMA journal_mode = WAL").fetchall()
helper.execute("CREATE TABLE large (id INTEGER PRIMARY KEY, data BLOB)")
helper.execute("CREATE TABLE canary (id INTEGER PRIMARY KEY)")
helper.execute(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 49152)"
    " INSERT INTO large SELECT i, randomblob(3900) FROM n"
)
helper.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
process.start()
_, mapped = connect(checkpointer)
mapped.execute("PRAGMA mmap_size = 1073741824").fetchall()
found = "nothing lost"
for count in range(1, int(rounds) + 1):
    try:
        mapped.execute("SELECT count(*) FROM large WHERE data IS NOT NULL").fetchall()
        helper.execute("UPDATE large SET data = randomblob(3900) WHERE id <= 20")
        _, frames, moved = helper.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        going.value = 1
        mapped.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        going.value = 0
        with going:
            (rows,) = helper.execute("SELECT count(*) FROM canary").fetchone()
        if frames != moved or rows != written.value:
            found = f"LOST in round {count}: {moved} of {frames} frames moved, {rows} of {written.value} rows there"
            break
    except sqlite.Error as error:
        found = f"LOST in round {count}: {error}"
        break
going.value = -1
process.join()
print(f"{checkpointer} checkpoints, {writer} writes: {found}")
sys.exit(found != "nothing lost")
PY
lost=0
for writer in pysqlite3-binary pysqlite3; do
    v/bin/python race.py pysqlite3-binary $writer 400 || lost=$((lost + 1))
    v/bin/python race.py pysqlite3 $writer 100
done
[ $lost = 2 ]
