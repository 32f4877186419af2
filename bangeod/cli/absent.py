"""Importing modules as if others, without which they can do, did not exist: as in a Python built without them."""

import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def absent(*names: str) -> Generator[None, None, None]:
    """Have the block meet ImportError where it imports one of these modules, unless that was imported before.

    Afterwards they can be imported as ever; what has been imported meanwhile goes on without them.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None in the place of a module is documented
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name, sys) is None:
                del sys.modules[name]
