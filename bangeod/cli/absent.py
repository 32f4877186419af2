"""Importing modules as if others, without which they can do, did not exist: as in a Python built without them."""

import sys
from collections.abc import Collection, Generator
from contextlib import contextmanager


@contextmanager
def absent(*names: str, again: Collection[str] = ()) -> Generator[None, None, None]:
    """Have the block meet ImportError where it imports one of these modules, unless that was imported before.

    Afterwards they can be imported as ever; what has been imported meanwhile goes on without them. But of the modules
    in ``again`` those who import them later get another copy, which is whole.
    """
    hidden = [name for name in names if name not in sys.modules]
    maimed = [name for name in again if hidden and name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None in the place of a module is documented
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name, sys) is None:
                del sys.modules[name]
        for name in maimed:
            _forget(name)


def _forget(name: str) -> None:
    """Let the next import of a module be its first, also ``from package import module``."""
    package, _, last = name.rpartition(".")
    if sys.modules.pop(name, None) is not None and package:
        delattr(sys.modules[package], last)
