"""Copying both tables from the web app's file of SQLite's to its tables on a PostgreSQL server.

``migration.py`` has it all in order. Beneath it: ``source`` (the file, read by pages), ``target`` (a table on the
server), ``matching`` (which columns both have), ``values`` (what a value becomes in a column of the server's),
``merging`` (what becomes of a row that both have), ``geo_copy`` and ``sessions_copy`` (a page of each table),
``journal`` (which sessions have been copied), ``report`` (what came of it).

Nothing says how far a run came: each compares the rows of both sides, page by page, and writes what differs. So a run
that was killed is taken up by the next one, which also takes up what has changed since. Sessions alone are
remembered: one that was copied and has ended on the server must not come back.
"""
