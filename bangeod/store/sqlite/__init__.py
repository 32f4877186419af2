"""The SQLite adapter of the store: the web app's database, shared with it as a guest.

``store.py`` is the port's SqliteStore. Beneath it: ``connection`` (one connection, whole transactions on SQLite's
thread, which is that of ``thread``), ``queries`` (every statement), ``slicing`` (writes in slices, checkpoints of the
WAL), ``columns`` and its kin (what the web app's tables look like), ``geo_writing`` (the flush), ``deletion`` and
``row_removal`` (the cleanups). Which SQLite it is, ``engine`` says; all SQL is in ``queries``, but for that which makes
a database (``schema``). Callers say which entries are to be written, and how old a row has to be to go; what becomes of
each row is decided here.
"""
