"""The PostgreSQL adapter of the store: the web app's database on a server, in which bangeod is a guest.

``store.py`` has PostgresStore, which implements the port. Beneath it: ``session`` (one connection, and when it is made
anew), ``connection`` (what a connection is made from), ``driver`` (psycopg, imported there alone), ``queries`` (every
statement), ``columns`` (what the web app's tables look like), ``walking`` (a table read in pages), ``geo_writing`` (the
flush), ``row_removal`` (the cleanups), ``slicing`` (how much is written at a time), ``faults`` (the errors).
``announcing`` tells other daemons what was written, by ``notices``, and ``listening`` hears of theirs.

Every statement is a transaction of its own: what a slice changes is decided from rows read before, and one statement
locks those that are still as they were, changes them and ends. So its locks last as long as the server works on it, and
no round trip longer; a task that is cancelled, or a daemon that dies, leaves no transaction open; and no snapshot keeps
the server's vacuum from its work for longer than a page takes.
"""
