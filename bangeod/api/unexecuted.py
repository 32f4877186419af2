"""Packages whose modules are imported without the code of the package itself, until somebody asks for a name of it."""

import importlib.util
import re
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any, Final

_VERSION: Final = re.compile(rb"""^__version__ = ["']([\w.+-]+)["']\s*$""", re.MULTILINE)


@contextmanager
def unexecuted(name: str) -> Generator[None, None, None]:
    """Let the block import modules of a package, with the package's ``__init__.py`` not executed.

    The package has only what the import system gives it, and its ``__version__``. For any other name its code is
    executed then, within the block and later, so that to others it is what it always is. Nothing is special where the
    package was imported before, is missing, or has no version written at the margin of its source.
    """
    package = None if name in sys.modules else _prepared(name)
    if package is not None:
        sys.modules[name] = package
    yield


def _prepared(name: str) -> ModuleType | None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
        return None
    found = _VERSION.search(spec.loader.get_data(spec.origin))
    if found is None:
        return None
    package = importlib.util.module_from_spec(spec)
    vars(package).update(__version__=found[1].decode(), __getattr__=_Rest(package, spec.loader))
    return package


class _Rest:
    """The function ``__getattr__`` of an unexecuted package (PEP 562)."""

    def __init__(self, package: ModuleType, loader: SourceFileLoader) -> None:
        self._package = package
        self._loader = loader
        self._one_at_a_time = threading.RLock()

    def __call__(self, name: str) -> Any:
        """Return what the package has under a name. Raises AttributeError: ``from package import module`` goes on."""
        with self._one_at_a_time:
            if vars(self._package).get("__getattr__") is self:
                if importlib.util.find_spec(f"{self._package.__name__}.{name}") is not None:
                    raise AttributeError(f"module {self._package.__name__!r} has not imported {name!r} yet")
                self._execute()
        return getattr(self._package, name)

    def _execute(self) -> None:
        del vars(self._package)["__getattr__"]  # the package's code may define its own
        try:
            self._loader.exec_module(self._package)
        except BaseException:
            vars(self._package)["__getattr__"] = self  # so that the next who asks meets the same error
            raise
