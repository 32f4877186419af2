"""MMDBs: files in MaxMind's format, from any publisher.

``merged`` is the source that the cache asks. ``slot`` follows one file over time, ``file`` opens it, ``probe`` reads
all of it first in its own process, and ``layouts`` says what its records mean. Downloads belong to geo/update.
"""
