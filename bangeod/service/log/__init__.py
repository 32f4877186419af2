"""Logging: what bangeod and its libraries say, on standard error or in systemd's journal.

``setup`` puts it in place; everybody else logs through structlog and imports nothing from here.
"""
