"""A machine of the tests' own: systemd, booted in a container on a throw-away copy of a file system."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.support.feed import eventually

BOOT: Final = Path(__file__).with_name("boot.sh")
TIMEOUT: Final = 60.0  # seconds
TOOLS: Final = {"systemd-nspawn": "systemd-container", "unshare": "util-linux", "setpriv": "util-linux"}
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT: Final = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root"}
CGROUPS: Final = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
GROUP: Final = "bangeod-test-"  # and the number of the process that made it


class MachineError(Exception):
    """The machine can't be had; the text says why."""


def missing() -> str | None:
    """Say what keeps this computer from having such a machine, as far as it can be told without trying."""
    if os.geteuid() != 0:
        return "only root can boot a container"
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            return f"{tool} is not installed (apt-get install {package})"
    if not Path("/usr/lib/systemd/systemd").exists():
        return "systemd is not installed (apt-get install systemd)"
    return None


class Machine:
    """The machine, from ``start`` to ``close``.

    All of it is in one process namespace and one mount namespace, whose first process dies with this one, be it
    by SIGKILL: the kernel then ends the others and lets go of the mounts. ``binds`` are directories of this
    computer by the path they have there, where they can't be written. ``root`` is the root directory of the system, and
    ``is_unified`` whether it has control groups of the second version alone, as systemd has it from 256 on.
    """

    def __init__(self, binds: Mapping[str, Path], root: Path = Path("/"), *, is_unified: bool = False) -> None:
        self._system = root
        self._unified = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"} if is_unified else {}
        self._binds = [f"--bind-ro={source}:{path}" for path, source in binds.items()]
        self._scratch = Path(tempfile.mkdtemp(prefix="bangeod-machine-"))
        self._console = self._scratch.with_suffix(".console")
        self._groups: list[Path] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0  # its systemd, by the number it has here

    def __repr__(self) -> str:
        return f"<a machine; for a shell on it: {' '.join(self._enter())} bash>"

    def start(self) -> None:
        """Boot it. Raises MachineError where that can't be done."""
        try:
            self._make_groups()
            self._boot()
            self._wait_for_systemd()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all of it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            eventually(lambda: not Path(f"/proc/{self._leader}").exists() or not self._leader, "the machine's end")
        for group in self._groups:
            eventually(lambda group=group: _removed(group), f"the end of {group}")  # type: ignore[misc]
        self._console.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._scratch.rmdir()

    @property
    def root(self) -> Path:
        """Return its root directory, as it is seen from here. Absolute links in it lead astray."""
        return Path(f"/proc/{self._leader}/root")

    @property
    def leader(self) -> int:
        """Return the number that its systemd has here."""
        return self._leader

    def run(
        self, *command: str, user: str | None = None, check: bool = True, given: str = "", timeout: float = TIMEOUT
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command there to its end, as root or as that user with its groups."""
        try:
            done = subprocess.run(
                self._words(command, user),
                input=given,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                env=ENVIRONMENT,
            )
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{command} took over {timeout:g} s: {error.stdout!r} {error.stderr!r}") from None
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    @contextlib.contextmanager
    def started(self, *command: str, user: str | None = None) -> Iterator["subprocess.Popen[str]"]:
        """Start a command there; at the end of the block its standard input ends, and it with that."""
        words = self._words(command, user)
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        ) as process:
            try:
                yield process
            finally:
                process.communicate(timeout=TIMEOUT)

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file there; it is root's, as is a directory that has to be made for it."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, path: str) -> str:
        """Read a file there."""
        return (self.root / path.lstrip("/")).read_text()

    def exists(self, path: str) -> bool:
        """Say whether something is there; a link counts."""
        return os.path.lexists(self.root / path.lstrip("/"))

    def _words(self, command: Sequence[str], user: str | None) -> list[str]:
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        return [*self._enter(), *become, *command]

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self._leader}", *["-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"], "--"]

    # --- boot ---

    def _make_groups(self) -> None:
        """Make control groups of its own, and remove those of machines whose makers were killed."""
        for hierarchy in map(Path, CGROUPS):
            if not os.access(hierarchy / "cgroup.procs", os.W_OK):
                continue
            for old in hierarchy.glob(f"{GROUP}*"):
                if not Path("/proc", old.name.removeprefix(GROUP).split("-")[0]).exists():
                    _removed(old)
            group = hierarchy / f"{GROUP}{os.getpid()}-{self._scratch.name}"
            group.mkdir()
            self._groups.append(group)

    def _boot(self) -> None:
        # A session of its own: Ctrl-C is for the tests, which end this when they end.
        alone = ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                [*alone, "sh", str(BOOT), str(self._scratch), str(self._system), *self._binds],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={"PATH": PATH, "CGROUPS": " ".join(map(str, self._groups)), **self._unified},
            )

    def _wait_for_systemd(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + TIMEOUT
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                told = self._console.read_text(errors="replace")[-2000:]
                raise MachineError(f"systemd can't be booted in a container here: {told.strip() or 'it says nothing'}")
            time.sleep(0.02)

    def _is_up(self) -> bool:
        assert self._process is not None
        found = [pid for pid in _descendants(self._process.pid) if _name(pid) == "systemd"]
        self._leader = found[0] if found else 0
        if not found:
            return False
        state = subprocess.run(
            [*self._enter(), "systemctl", "is-system-running"], capture_output=True, text=True, check=False
        )
        return state.stdout.strip() in {"running", "degraded"}


def _descendants(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _descendants(child)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _removed(group: Path) -> bool:
    """Remove a control group and those within; say whether it is gone. A process that is ending keeps it."""
    for directory, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
    return not group.exists()
