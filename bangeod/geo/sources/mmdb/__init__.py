"""MMDBs: files in MaxMind's format, from any publisher.

``merged`` is the source that the cache asks. ``slot`` follows one file over time, ``file`` opens it (a ``snapshot``,
through ``reader``) and answers from it, with a ``network_memo`` beside it; ``probe`` reads all of it first in its own
process, down the ``tree``, and tells its ``coverage``. ``layouts`` says what its records mean; ``plain_records`` and
``maxmind_models`` show them to ``lookup --explain``. Downloads belong to geo/update.
"""
