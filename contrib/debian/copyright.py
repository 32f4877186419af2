"""Prints the package's copyright file: bangeod's licence, and that of each Python package that comes with it.

copyright.py LICENSE DIRECTORY PATH: bangeod's own licence, the directory that the packages are in, and where that will
be. Ends with an error where one of them says nothing of its licence. The licences of what is compiled into a package,
where it does not tell them itself, stand in ``licences`` beside this file.
"""

import re
import sys
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from email.message import Message

OWN: Final = "bangeod"
# Of Project-URL, the best first.
HOMES: Final = ("homepage", "home", "source", "source code", "code", "repository", "github")
LICENCE_FILES: Final = re.compile(r"(licen[cs]e|copying|notice)", re.IGNORECASE)
# Debian has the text of this one on each machine, and wants it to be named rather than told.
APACHE: Final = re.compile(
    r"^\s*Apache License\s*\n\s*Version 2\.0, .*?(END OF TERMS AND CONDITIONS|\Z)", re.DOTALL | re.MULTILINE
)
WITHIN: Final = Path(__file__).with_name("licences")
APACHE_IS_IN: Final = "The Apache License, Version 2.0, as in /usr/share/common-licenses/Apache-2.0."


def texts(dist_info: Path) -> Iterator[str]:
    """Return what its licence files say."""
    for file in sorted(dist_info.rglob("*")):
        if file.is_file() and LICENCE_FILES.match(file.name):
            yield APACHE.sub(APACHE_IS_IN, file.read_text(encoding="utf-8", errors="replace")).strip()
    within = WITHIN / dist_info.name.partition("-")[0]
    if within.exists():
        yield within.read_text(encoding="utf-8").strip()


def licence(metadata: "Message[str, str]") -> str:
    """Return what its metadata call its licence; empty where they don't."""
    classifiers = [text.split(" :: ")[-1] for text in metadata.get_all("Classifier", []) if text.startswith("License")]
    return metadata["License-Expression"] or (metadata["License"] or "").partition("\n")[0] or ", ".join(classifiers)


def home(metadata: "Message[str, str]") -> str:
    """Return the address that it comes from; empty where its metadata name none."""
    urls = [url.partition(",") for url in metadata.get_all("Project-URL", [])]
    named = {label.strip().lower(): url.strip() for label, _, url in urls}
    return metadata["Home-page"] or next((named[label] for label in HOMES if label in named), "")


def section(dist_info: Path) -> str:
    """Return what the file says of one package."""
    metadata = HeaderParser().parsestr((dist_info / "METADATA").read_text(encoding="utf-8"))
    called, told = licence(metadata), list(texts(dist_info))
    if not called and not told:
        raise SystemExit(f"{metadata['Name']} says nothing of its licence")
    title = f"{metadata['Name']} {metadata['Version']}"
    facts = {"From": home(metadata), "Licence": called}
    lines = [title, "=" * len(title), "", *(f"{name}: {fact}" for name, fact in facts.items() if fact)]
    return "\n".join([*lines, *("\n" + text for text in told)])


def main(own: str, directory: str, path: str) -> None:
    """Print all of it."""
    print(f"bangeod is under the licence that follows; the Python packages in {path}")
    print("that it uses are under theirs, each of which stands below.\n")
    print(Path(own).read_text(encoding="utf-8").strip())
    for dist_info in sorted(Path(directory).glob("*.dist-info")):
        if not dist_info.name.startswith(f"{OWN}-"):
            print(f"\n\n{section(dist_info)}")


main(*sys.argv[1:])
