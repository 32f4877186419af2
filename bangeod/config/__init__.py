"""The config, bangeod.toml: ``settings`` has its keys and defaults, ``values`` their kinds, ``loading`` reads it."""

from bangeod.config.loading import DEFAULT_FILE, find_file, load
from bangeod.config.settings import (
    RESTART_ONLY,
    CleanupJobSettings,
    JobSettings,
    Settings,
    differences,
    leaves,
    to_toml,
)
from bangeod.config.values import MASK, Secret, duration_text

__all__ = [
    "DEFAULT_FILE",
    "MASK",
    "RESTART_ONLY",
    "CleanupJobSettings",
    "JobSettings",
    "Secret",
    "Settings",
    "differences",
    "duration_text",
    "find_file",
    "leaves",
    "load",
    "to_toml",
]
