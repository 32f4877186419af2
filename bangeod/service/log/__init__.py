"""Logging of bangeod and its libraries, to standard error or systemd's journal.

``setup`` installs it. Modules that only log use structlog and import nothing from here.
"""
