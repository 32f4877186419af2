"""The periodic jobs, one file each, and what they have in common.

A job's file has its declaration and its body. A job says what is to be done; when it runs is service/schedule's, how
rows are read and written the store's. A new job takes its file, named as its id, a line in ``JobId`` (job.py), and its
table in config/settings.py and bangeod.toml.example.
"""
