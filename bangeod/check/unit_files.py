"""Parsing of a unit's files: the settings in them, as systemd reads them (systemd.syntax(7), systemd.unit(5))."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

SERVICE: Final = "Service"

_SPECIFIER: Final = re.compile("%(.)", re.DOTALL)


class Setting(NamedTuple):
    """An assignment in a unit's file."""

    file: Path
    name: str
    value: str


def files_of(shown: Mapping[str, str]) -> list[Path]:
    """Return the unit's own file and its drop-ins, later ones taking precedence."""
    return [Path(path) for path in (shown.get("FragmentPath", ""), *shlex.split(shown.get("DropInPaths", ""))) if path]


def settings(files: Iterable[Path], section: str = SERVICE) -> Iterator[Setting]:
    """Yield the assignments in a section; files that can't be read are skipped."""
    for file in files:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            continue
        found = ""
        for line in _lines(text):
            if line.startswith("["):
                found = line[1:].partition("]")[0]
            elif found == section and "=" in line:
                name, _, value = line.partition("=")
                yield Setting(file, name.strip(), value.strip())


def _lines(text: str) -> Iterator[str]:
    """Yield lines without comments; a line that ends in a backslash is joined with the next."""
    begun = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith(("#", ";")):  # also skipped inside a continued line
            continue
        if line.endswith("\\"):
            begun += f"{line[:-1]} "
        elif begun or line:
            yield begun + line
            begun = ""
    if begun:
        yield begun


def expanded(value: str, unit: str) -> str | None:
    """Replace %n and other specifiers of a system unit; None if one is not known here."""
    name = unit.rpartition(".")[0]
    known = {"%": "%", "n": unit, "N": name, "p": name, "t": "/run", "S": "/var/lib", "C": "/var/cache"}
    known |= {"E": "/etc", "L": "/var/log", "h": "/root"}
    if any(match[1] not in known for match in _SPECIFIER.finditer(value)):
        return None
    return _SPECIFIER.sub(lambda match: known[match[1]], value)
