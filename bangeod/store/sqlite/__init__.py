"""The SQLite adapter of the store: the web app's database, shared with it as a guest.

``store.py`` is the port's SqliteStore. Beneath it: ``connection`` (one connection, whole transactions on SQLite's
thread, which is that of ``thread``), ``queries`` (every statement), ``slicing`` (writes in slices, checkpoints of the
WAL), ``columns`` and its kin (what the web app's tables look like), ``geo_writing`` (the flush), ``deletion`` and
``row_removal`` (the cleanups). SQLite is imported in ``engine`` alone, aiosqlite in ``thread``. Nothing here decides
what is to be written or deleted: callers say so.
"""
