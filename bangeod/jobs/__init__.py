"""The periodic jobs, one file each, and what they have in common.

A job's file has its declaration and its body. The job says what is to be done; service/schedule decides when it runs,
and the store how rows are read and written. A new job needs its file, named like its id, a line in ``JobId`` (job.py),
and its table in config/settings.py and bangeod.toml.example.
"""
