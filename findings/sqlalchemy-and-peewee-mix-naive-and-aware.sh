#!/bin/sh
# Expected: a DateTime column of an ORM gives times of one kind, and SQLAlchemy and peewee on SQLite, which write naive
#   text (`2026-11-30 05:21:26.722751`), read any ISO text as such or refuse it.
# True: both read `2026-11-30T05:21:27Z`, written into the same column by another program, as an aware time. Each row
#   reads well; comparing or sorting rows of both kinds raises TypeError in the program that owns the table.
# Seen: SQLAlchemy 2.1.9, peewee 4.5.3 (PyPI), CPython 3.11 and newer, on 2026-11-30.
#   peewee 3.19.0 hands out the text itself, which can't be compared with a time either.
# Source: the packages; both parse with datetime.fromisoformat, which takes a Z from Python 3.11 on.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check sqlalchemy==2.1.9 peewee==4.5.3
v/bin/python - <<'PY'
import datetime
import sqlite3
import sys

import peewee
import sqlalchemy as sa

OWN = datetime.datetime(2026, 11, 30, 5, 21, 26, 722751)
FOREIGN = "2026-11-30T05:21:27Z"


def by_sqlalchemy(path):
    engine = sa.create_engine(f"sqlite:///{path}")
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("at", sa.DateTime))
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(table.insert().values(at=OWN))
    yield
    with engine.begin() as connection:
        yield [at for (at,) in connection.execute(sa.select(table.c.at).order_by(table.c.id))]


def by_peewee(path):
    database = peewee.SqliteDatabase(path)

    class T(peewee.Model):
        at = peewee.DateTimeField()

        class Meta:
            database = None

    T.bind(database)
    T.create_table()
    T.create(at=OWN)
    yield
    yield [row.at for row in T.select().order_by(T.id)]


same = True
for read in (by_sqlalchemy, by_peewee):
    path = f"{read.__name__}.db"
    steps = read(path)
    next(steps)
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO t (at) VALUES (?)", (FOREIGN,))
    other.close()
    times = next(steps)
    print(read.__name__, times)
    try:
        sorted(times)
        same = False
    except TypeError as error:
        print("TypeError:", error)
sys.exit(not same)
PY
