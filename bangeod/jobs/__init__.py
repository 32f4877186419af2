"""The periodic jobs, one file each, and what they have in common.

The four are ``geo_cache_flush``, ``geo_re_resolve``, ``geo_cache_cleanup`` and ``session_cleanup``. ``job`` and
``runner`` say what a job and its run are, ``registry`` has them all. The other files help: ``cleanup`` the
two that delete, ``disabled_jails`` geo_cache_cleanup, ``unresolved`` geo_re_resolve, ``ban_watch`` both of these, and
``kept_rows`` all but the flush. ``turns`` are for jobs that one daemon does for all (``memory_turns`` in tests).

A job's file has its declaration and its body. The job says what is to be done; service/schedule decides when it runs,
and the store how rows are read and written. A new job needs its file, named like its id, a line in ``JobId`` (job.py),
and its table in config/settings.py and bangeod.toml.example.
"""
