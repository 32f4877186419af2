"""MMDBs: files in MaxMind's format, of whichever publisher.

``merged`` is the source that the cache asks. ``slot`` follows one file over time, ``file`` opens it, ``probe`` reads
all of it first, in a process of its own, ``layouts`` says what its records mean. Fetching files is geo/update's.
"""
