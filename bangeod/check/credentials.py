"""The services' systemd credentials: whether systemd finds each one where the unit says it is.

If it does not, the service does not start, and systemd names neither the credential nor the file. All it says, at each
try, is "Failed to set up credentials: Protocol error" (252 and 257).
"""

import os
import stat
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bangeod.check import systemctl, unit_files
from bangeod.check.finding import Finding, fault, quoted, warning
from bangeod.check.unit_files import Setting

SUBJECT: Final = "credential"
UNITS: Final = ("bangeod.service", "bangeod-geodb-update.service")
LARGEST: Final = 1 << 20  # bytes; CREDENTIAL_SIZE_MAX of systemd
TRY_SECONDS: Final = 10.0  # a TPM is slow

_ENCRYPTED: Final = {"LoadCredential": False, "LoadCredentialEncrypted": True}
_FALLBACKS: Final = ("SetCredential", "SetCredentialEncrypted")
# Where systemd looks for a credential that is given by name, not by path: what the system was given, and the stores
# (systemd.exec(5)). Stores of encrypted credentials are used only for encrypted ones.
_GIVEN: Final = "run/credentials/@system"
_GIVEN_ENCRYPTED: Final = "run/credentials/@encrypted"
_STORE: Final = "credstore"
_STORE_OF_ENCRYPTED: Final = "credstore.encrypted"
_BASES: Final = ("etc", "run", "usr/local/lib", "usr/lib")


class Credential(NamedTuple):
    """A credential that a unit loads: its name, its source, and the unit file that names it."""

    id: str
    source: str
    file: Path
    is_encrypted: bool
    has_fallback: bool  # whether the unit also sets a value for it, used if there is no file


def declared(settings: Iterable[Setting], unit: str) -> list[Credential]:
    """Return the credentials that the unit loads; the last assignment of a name counts, an empty one clears all."""
    loaded: dict[str, Credential] = {}
    fallbacks: set[str] = set()
    for setting in settings:
        if setting.name in _FALLBACKS:
            fallbacks = fallbacks | {setting.value.partition(":")[0]} if setting.value else set()
        elif setting.name in _ENCRYPTED:
            if not setting.value:
                loaded.clear()
                continue
            name, _, source = setting.value.partition(":")
            source_of = unit_files.expanded(source or name, unit)
            if source_of is not None:  # else the file is not known
                loaded[name] = Credential(name, source_of, setting.file, _ENCRYPTED[setting.name], has_fallback=False)
    return [each._replace(has_fallback=each.id in fallbacks) for each in loaded.values()]


def examine() -> Iterator[Finding]:
    """Check the credentials of the units in force. Only root may."""
    for unit in UNITS:
        files = unit_files.files_of(systemctl.show(unit, ("FragmentPath", "DropInPaths")))
        yield from judge(declared(unit_files.settings(files), unit), unit)


def load(name: str) -> str | None:
    """Return the text of a credential of the service; None where it has none, or that can't be read. Only root may."""
    unit, *_ = UNITS
    files = unit_files.files_of(systemctl.show(unit, ("FragmentPath", "DropInPaths")))
    wanted = [each for each in declared(unit_files.settings(files), unit) if each.id == name]
    return _text(wanted[0]) if wanted and wanted[0].source.startswith("/") else None


def _text(credential: Credential) -> str | None:
    try:
        if not credential.is_encrypted:
            return Path(credential.source).read_text()
        command = ["systemd-creds", "decrypt", f"--name={credential.id}", "--", credential.source, "-"]
        return subprocess.run(  # noqa: S603 - arguments, no shell
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TRY_SECONDS, check=True
        ).stdout
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def judge(credentials: Sequence[Credential], unit: str, root: Path = Path("/")) -> Iterator[Finding]:
    """Yield findings for credentials that systemd does not find; paths of stores lie below ``root``."""
    for credential in credentials:
        if credential.source.startswith("/"):
            yield from _judge_path(credential, Path(credential.source), unit)
        elif not credential.has_fallback and not _is_given(credential, root):
            yield _not_given(credential, unit)


def _is_given(credential: Credential, root: Path) -> bool:
    places = [_GIVEN, *(f"{base}/{_STORE}" for base in _BASES)]
    if credential.is_encrypted:
        places += [_GIVEN_ENCRYPTED, *(f"{base}/{_STORE_OF_ENCRYPTED}" for base in _BASES)]
    return any((root / place / credential.source).exists() for place in places)


def _judge_path(credential: Credential, path: Path, unit: str) -> Iterator[Finding]:
    try:
        status = path.stat()
    except FileNotFoundError:
        if not credential.has_fallback:
            yield _missing(credential, path, unit)
        return
    except OSError as error:
        yield _unusable(credential, path, unit, f"can't be read by root ({error.strerror})", f"ls -la {quoted(path)}")
        return
    if stat.S_ISFIFO(status.st_mode):
        problem = "is a pipe, and systemd waits for somebody to write into it"
        yield _unusable(credential, path, unit, problem, _writing(credential, path))
    elif stat.S_ISREG(status.st_mode):
        yield from _judge_file(credential, path, unit, status.st_size)
    # systemd asks a socket at the start, loads each file of a directory, and takes /dev/null as empty.


def _judge_file(credential: Credential, path: Path, unit: str, size: int) -> Iterator[Finding]:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        yield _unusable(credential, path, unit, f"can't be read by root ({error.strerror})", f"ls -la {quoted(path)}")
        return
    if size > LARGEST:
        problem = f"is larger than a credential may be ({size:,} bytes of {LARGEST:,})"
        yield _unusable(credential, path, unit, problem, _writing(credential, path))
    elif not size:
        problem = f"is empty, so {unit} gets nothing as its credential {credential.id} ({_stands(credential)})"
        yield warning(SUBJECT, path, problem, _writing(credential, path))
    elif credential.is_encrypted and (told := _undecipherable(credential, path)):
        yield _unusable(credential, path, unit, f"can't be decrypted here ({told})", _writing(credential, path))


def _undecipherable(credential: Credential, path: Path) -> str | None:
    """Return why systemd can't decrypt it; None if it can, or if that can't be tried. The plain text is discarded."""
    try:
        tried = subprocess.run(  # noqa: S603 - arguments, no shell
            ["systemd-creds", "decrypt", f"--name={credential.id}", "--", str(path), "-"],  # noqa: S607
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=TRY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = tried.stderr.strip().splitlines()
    return (lines[-1] if lines else f"status {tried.returncode}") if tried.returncode else None


def _missing(credential: Credential, path: Path, unit: str) -> Finding:
    what = "is a link to nothing" if path.is_symlink() else "is not there"
    return _unusable(credential, path, unit, what, _writing(credential, path))


def _unusable(credential: Credential, path: Path, unit: str, problem: str, mend: str) -> Finding:
    does = f"{unit} does not start (systemd: Protocol error), as it is to be its credential {credential.id}"
    return fault(SUBJECT, path, f"{problem}: {does} ({_stands(credential)})", mend)


def _not_given(credential: Credential, unit: str) -> Finding:
    problem = (
        f"{unit} starts without this credential: it is to be the system's credential {credential.source}, and there "
        f"is no such one ({_stands(credential)})"
    )
    store = _STORE_OF_ENCRYPTED if credential.is_encrypted else _STORE
    return warning(SUBJECT, credential.id, problem, _writing(credential, Path("/etc", store, credential.source)))


def _stands(credential: Credential) -> str:
    kind = "LoadCredentialEncrypted=" if credential.is_encrypted else "LoadCredential="
    return f"{kind}{credential.id} in {credential.file}"


def _writing(credential: Credential, path: Path) -> str:
    """Return the command that stores the key; the key is typed in, so that no shell history has it."""
    take_out = f"or take that line out of {credential.file}, and: systemctl daemon-reload"
    if credential.is_encrypted:
        return f"systemd-creds encrypt --name={credential.id} - {quoted(path)}   # asks for the key; {take_out}"
    return f"install -D -m 600 /dev/stdin {quoted(path)}   # type the key, then Ctrl-D; {take_out}"
