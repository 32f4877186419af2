"""The command line: ``group`` is the command ``bangeod``; each of its commands has the module of its name."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bangeod.cli.group import COMMANDS, LazyGroup, cli
else:

    def __getattr__(name: str) -> Any:
        """Import click's part when it is asked for: the daemon does without."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from bangeod.cli import group  # noqa: PLC0415 - as above

        return getattr(group, name)


__all__ = ["COMMANDS", "LazyGroup", "cli"]
