"""The SQLite adapter of the store: the web app's database, in which bangeod is a guest.

``store.py`` has SqliteStore, which implements the port. Beneath it: ``connection`` (one connection, whole transactions
on SQLite's thread, which ``thread`` provides), ``queries`` (every statement, except those in ``schema`` that make a
database), ``slicing`` (writes in slices), ``checkpoint`` (of the WAL), ``columns`` and related modules (what the web
app's tables look like), ``geo_writing`` (the flush), ``deletion`` and ``row_removal`` (the cleanups). ``engine`` says
which SQLite is used. Callers say which entries to write, and how old a row must be to go; this package decides what
happens to each row.
"""
