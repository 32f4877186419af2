"""The lowest versions of the packages that bangeod needs, as pyproject.toml allows them."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,-]+\])?\s*>=\s*(?P<floor>[\w.]+)[^;]*(?P<marker>;.*)?")


def of(root: Path) -> Sequence[str]:
    """Return a line for pip for each package that the checkout's pyproject.toml names: that version and no other."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return [exactly(each) for each in (*project["dependencies"], *project["optional-dependencies"]["postgres"])]


def exactly(requirement: str) -> str:
    """Return the line for one package, without its extras, which a constraint can't have.

    Raises ValueError where it names no lowest version.
    """
    found = _REQUIREMENT.fullmatch(requirement)
    if found is None:
        raise ValueError(f"{requirement!r} names no lowest version (>=)")
    return f"{found['name']}=={found['floor']}{found['marker'] or ''}"
