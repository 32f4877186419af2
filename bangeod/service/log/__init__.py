"""Logging: what bangeod and its libraries say, on standard error or in systemd's journal.

``setup`` puts it in place. Whoever only logs does so through structlog, and imports nothing from here.
"""
