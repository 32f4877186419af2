"""The service's sandbox: whether what the unit asks for is in force. systemd skips some of it silently.

In a container or on a kernel without network namespaces ``PrivateNetwork=`` has no effect, and systemd logs that below
level warning. For a running service, its own state shows what is in force; for a stopped one, the check tries to make
such a namespace. What the service may write is fixed at its start: if a directory of ``ReadWritePaths=`` did not exist
then, it stays read-only.
"""

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from bangeod.check import systemctl
from bangeod.check.finding import Finding, fault, warning

SUBJECT: Final = "sandbox"
UNIT: Final = "bangeod.service"
TRY_SECONDS: Final = 5.0


class Option(NamedTuple):
    """A setting that needs a namespace: name in /proc/PID/ns, switches of ``unshare``, what happens without it."""

    name: str
    namespace: str
    switches: tuple[str, ...]
    without: str


_OPTIONS: Final = (
    Option("PrivateNetwork", "net", ("--net",), "the service has the network of the machine"),
    Option("PrivateMounts", "mnt", ("--mount",), "the service sees and may write all that its user may"),
    Option("PrivateUsers", "user", ("--user",), "the service can meet the users of the machine"),
    Option("PrivateIPC", "ipc", ("--ipc",), "the service shares the machine's message queues and shared memory"),
    Option("ProtectHostname", "uts", ("--uts",), "the service shares the name of the machine"),
    Option("PrivatePIDs", "pid", ("--pid", "--fork"), "the service sees other processes"),
)
_OFF: Final = ("", "no")
_SYSTEM: Final = Path("/usr")
_ESCAPED: Final = re.compile(r"\\(040|011|012|134)")  # escapes in mountinfo: space, tab, newline, backslash
_PROPERTIES: Final = (
    "MainPID",
    "ProtectSystem",
    "NoNewPrivileges",
    "SystemCallFilter",
    *(option.name for option in _OPTIONS),
)


class Process(NamedTuple):
    """What the kernel says of a running service, as far as it can be read."""

    own: Mapping[str, bool]  # by namespace: whether it differs from systemd's
    status: Mapping[str, str]  # of /proc/PID/status
    mountinfo: str  # of /proc/PID/mountinfo

    def is_read_only(self, path: Path) -> bool | None:
        """Return whether the process sees the file system at a path as read-only; None if unknown."""
        return _read_only(self.mountinfo, path)


def examine(writable: Path | None) -> Iterator[Finding]:
    """Check the unit in force, and the service if it runs. Only root may.

    ``writable`` is the database's directory, if the unit lets the service write there.
    """
    shown = systemctl.show(UNIT, _PROPERTIES)
    pid = shown.get("MainPID", "0")
    process = look(pid) if pid != "0" else None
    if process is None:
        yield from judge_stopped(shown, can_be_made)
        return
    yield from judge_running(shown, process)
    own = look("self")
    if writable and own:
        yield from judge_writing(writable, process, own)


def judge_writing(directory: Path, process: Process, own: Process) -> Iterator[Finding]:
    """Report if the service can't write to a directory although the unit allows it and this process can."""
    if process.is_read_only(directory) and not own.is_read_only(directory):
        problem = f"the service can't write in {directory}, which was not there, or another one, when it started"
        yield fault(SUBJECT, UNIT, problem, "systemctl restart bangeod")


def judge_running(shown: Mapping[str, str], process: Process) -> Iterator[Finding]:
    """Report what the unit asks for and the running service does not have."""
    for option in _asked(shown):
        if process.own.get(option.namespace) is False:
            yield _off(option.name, shown, option.without)
    if shown.get("NoNewPrivileges") == "yes" and process.status.get("NoNewPrivs") == "0":
        yield _off("NoNewPrivileges", shown, "the service may gain rights by a program that is set-uid")
    if shown.get("SystemCallFilter") and process.status.get("Seccomp") == "0":
        yield _off("SystemCallFilter", shown, "no system call is refused to the service", value="…")
    if shown.get("ProtectSystem", "") not in _OFF and process.is_read_only(_SYSTEM) is False:
        yield _off("ProtectSystem", shown, "the system's files are not read-only to the service")


def judge_stopped(shown: Mapping[str, str], possible: Callable[[Option], bool | None]) -> Iterator[Finding]:
    """Report what the service will not have when it starts; ``possible`` returns None if it can't tell."""
    for option in _asked(shown):
        if possible(option) is False:
            yield _off(option.name, shown, option.without.replace("the service", "when it runs, the service"))


def _asked(shown: Mapping[str, str]) -> list[Option]:
    return [option for option in _OPTIONS if shown.get(option.name, "") not in _OFF]


def _off(name: str, shown: Mapping[str, str], without: str, value: str | None = None) -> Finding:
    problem = f"{name}={value or shown[name]} is not in force: {without}"
    mend = (
        "systemctl restart bangeod   # where it stays so, this container or kernel does not let systemd do it: "
        "let the container make namespaces (nesting), or live without it"
    )
    return warning(SUBJECT, UNIT, problem, mend)


def look(pid: str, proc: Path = Path("/proc")) -> Process | None:
    """Return what the kernel says of a process; None if it is gone, or nobody may look."""
    own = {}
    for option in _OPTIONS:
        try:
            theirs, ours = ((proc / each / "ns" / option.namespace).readlink() for each in (pid, "1"))
        except FileNotFoundError:  # the kernel has no such namespace, or the process has ended
            if (proc / pid / "ns").exists():
                own[option.namespace] = False
        except OSError:
            pass
        else:
            own[option.namespace] = theirs != ours
    try:
        lines = (proc / pid / "status").read_text().splitlines()
        status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Process(own, status, (proc / pid / "mountinfo").read_text())
    except OSError:
        return None


def _read_only(mountinfo: str, path: Path) -> bool | None:
    """Return whether the file system at a path is mounted read-only; None if unknown (proc(5))."""
    longest, found = -1, None
    for line in mountinfo.splitlines():
        fields = line.split()
        if len(fields) <= 5:  # noqa: PLR2004
            continue
        mounted = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4])
        if path.is_relative_to(mounted) and len(mounted) >= longest:
            longest, found = len(mounted), "ro" in fields[5].split(",")
    return found


def can_be_made(option: Option) -> bool | None:
    """Try to make such a namespace, in a separate process; None if there is no program for that."""
    try:
        tried = subprocess.run(  # noqa: S603 - no input in it
            ["unshare", *option.switches, "true"],  # noqa: S607 - wherever the distribution has it
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return tried.returncode == 0 if tried.returncode < 126 else None  # noqa: PLR2004 - from 126 on it has not run
