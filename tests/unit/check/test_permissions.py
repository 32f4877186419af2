"""Who may do what with a file, and the command that mends it."""

import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.check import identity
from bangeod.check.finding import Finding, Level
from bangeod.check.identity import Identity, LookFailedError, choose, of_user, run_as
from bangeod.check.permissions import (
    Access,
    Names,
    Need,
    PathFacts,
    Remedy,
    granted,
    judge,
    judge_secret,
    judge_sharing,
)
from bangeod.errors import UsageError

GROUPS = {0: "root", 4: "adm", 50: "bangeod", 60: "bangui", 65: "web"}
USERS = {0: "root", 5: "bangeod", 6: "web"}
NAMES = Names(lambda uid: USERS.get(uid, str(uid)), lambda gid: GROUPS.get(gid, str(gid)))

BANGEOD = Identity("bangeod", 5, 50, frozenset({50, 60}))
WEB = Identity("web", 6, 65, frozenset({65}))
ROOT = Identity("root", 0, 0, frozenset({0}))

READ, WRITE, SEARCH = Access.READ, Access.WRITE, Access.SEARCH
WORK, WORK_IN = READ | WRITE, READ | WRITE | SEARCH
DATABASE = Path("/srv/web app/bangui.db")


def file(mode: int, uid: int = 6, gid: int = 65, *, read_only: bool = False) -> PathFacts:
    return PathFacts(uid, gid, stat.S_IFREG | mode, read_only)


def directory(mode: int, uid: int = 6, gid: int = 65) -> PathFacts:
    return PathFacts(uid, gid, stat.S_IFDIR | mode)


def verdict(
    facts: PathFacts,
    needs: Access,
    remedy: Remedy = Remedy.SHARE,
    *,
    who: Identity = BANGEOD,
    truth: Access | None = None,
) -> Finding | None:
    place = Need(DATABASE, "the database", needs, remedy)
    truths = {} if truth is None else {DATABASE: truth}
    findings = judge({DATABASE: (place, facts)}, truths, who, names=NAMES)
    assert len(findings) <= 1
    return findings[0] if findings else None


@pytest.mark.parametrize(
    ("facts", "who", "expected"),
    [
        (file(0o640), WEB, READ | WRITE),
        (file(0o640, uid=1), WEB, READ),
        (file(0o640, uid=1, gid=1), WEB, Access(0)),
        (file(0o604, uid=1), WEB, Access(0)),  # a member of the group is not one of the others
        (file(0o077), WEB, Access(0)),  # nor is the owner
        (file(0o000), ROOT, READ | WRITE),
        (file(0o001), ROOT, READ | WRITE | SEARCH),
        (directory(0o000), ROOT, READ | WRITE | SEARCH),
        (directory(0o2770, gid=60), BANGEOD, READ | WRITE | SEARCH),
        (directory(0o1777), BANGEOD, READ | WRITE | SEARCH),
    ],
)
def test_one_third_of_the_mode_counts(facts: PathFacts, who: Identity, expected: Access) -> None:
    assert granted(facts, who) == expected


# Each row: what is there, what is needed, how it is best mended; then the command.
MENDS = [
    (file(0o440, uid=5), WORK, Remedy.SHARE, "chmod u+w {path}"),
    (file(0o640, gid=60), WORK, Remedy.SHARE, "chmod g+w {path}"),
    (file(0o660), WORK, Remedy.SHARE, "usermod -aG web bangeod   # holds for what bangeod starts afterwards"),
    (
        file(0o644),
        WORK,
        Remedy.SHARE,
        "chmod g+w {path} && usermod -aG web bangeod   # holds for what bangeod starts afterwards",
    ),
    (file(0o600, uid=0, gid=0), WORK, Remedy.SHARE, "chgrp bangeod {path} && chmod g+rw {path}"),
    (directory(0o755, uid=0, gid=0), WORK_IN, Remedy.SHARE, "chgrp bangeod {path} && chmod g+rwxs {path}"),
    (file(0o660, uid=0, gid=4), WORK, Remedy.SHARE, "chgrp bangeod {path} && chmod g+rw {path}"),
    (file(0o660, uid=0, gid=999), WORK, Remedy.SHARE, "chgrp bangeod {path} && chmod g+rw {path}"),
    (file(0o600, uid=0, gid=0), READ, Remedy.PUBLISH, "chmod a+r {path}"),
    (file(0o600, uid=0, gid=0), READ, Remedy.GRANT, "setfacl -m u:bangeod:r {path}"),
    (directory(0o700, uid=0, gid=0), SEARCH, Remedy.GRANT, "setfacl -m u:bangeod:x {path}"),
    (directory(0o700), SEARCH, Remedy.GRANT, "setfacl -m u:bangeod:x {path}"),
    (directory(0o750), SEARCH, Remedy.GRANT, "usermod -aG web bangeod   # holds for what bangeod starts afterwards"),
    (directory(0o755, uid=0, gid=0), WORK_IN, Remedy.OWN, "chown bangeod: {path} && chmod u+rwx {path}"),
]


@pytest.mark.parametrize(("facts", "needs", "remedy", "command"), MENDS)
def test_what_is_lacking_comes_with_the_command_that_gives_it(
    facts: PathFacts, needs: Access, remedy: Remedy, command: str
) -> None:
    finding = verdict(facts, needs, remedy)
    assert finding is not None
    assert finding.level is Level.FAULT
    assert finding.mend == command.format(path="'/srv/web app/bangui.db'")


def test_the_problem_says_who_may_not_what_and_why() -> None:
    finding = verdict(file(0o640), WORK)
    assert finding is not None
    assert finding.where == str(DATABASE)
    assert finding.problem == (
        "user bangeod may not read or write the database: it is web:web 0640, and bangeod is not in group web"
    )


@pytest.mark.parametrize("facts", [file(0o660, gid=60), file(0o600, uid=5), file(0o666), directory(0o2770, gid=60)])
def test_nothing_is_said_where_nothing_is_lacking(facts: PathFacts) -> None:
    assert verdict(facts, WORK) is None


def test_the_kernels_yes_outweighs_the_mode() -> None:
    assert verdict(file(0o600, uid=0, gid=0), READ, truth=READ) is None  # an access list lets it in


def test_the_kernels_no_outweighs_the_mode() -> None:
    finding = verdict(file(0o660, gid=60), WORK, truth=READ)
    assert finding is not None
    assert "although its mode would allow it" in finding.problem
    assert finding.mend.startswith("getfacl ")


def test_a_read_only_file_system_is_named() -> None:
    finding = verdict(file(0o660, gid=60, read_only=True), WORK, truth=READ)
    assert finding is not None
    assert finding.problem == "user bangeod may not write the database: its file system is mounted read-only"


def test_below_a_closed_directory_only_what_needs_mending_itself_is_named() -> None:
    closed, good, bad = Path("/srv"), Path("/srv/good"), Path("/srv/bad")
    places = {
        closed: (Need(closed, "the way", SEARCH, Remedy.GRANT), directory(0o700)),
        good: (Need(good, "the state", READ), file(0o644)),
        bad: (Need(bad, "the database", READ), file(0o600)),
    }
    truths = dict.fromkeys(places, Access(0))
    findings = judge(places, truths, BANGEOD, names=NAMES)
    assert [finding.where for finding in findings] == ["/srv", "/srv/bad"]


@pytest.mark.parametrize(
    ("facts", "who", "other", "parts"),
    [
        (directory(0o0770), BANGEOD, WEB, True),
        (directory(0o2770), BANGEOD, WEB, False),
        (directory(0o0770), ROOT, WEB, False),  # SQLite as root gives the files to the database's owner
        (directory(0o0770), Identity("bangeod", 5, 65, frozenset({65})), WEB, False),
    ],
)
def test_a_directory_of_two_users_has_to_be_setgid(
    facts: PathFacts, who: Identity, other: Identity, parts: bool
) -> None:
    place = Need(DATABASE.parent, "the database's directory", WORK_IN)
    finding = judge_sharing(place, facts, who, other, names=NAMES)
    assert (finding is not None) == parts
    if finding:
        assert finding.level is Level.WARNING
        assert finding.mend == "chmod g+s '/srv/web app'"


@pytest.mark.parametrize(("mode", "open_to_all"), [(0o644, True), (0o640, False), (0o600, False)])
def test_a_key_is_not_for_everybody_to_read(mode: int, open_to_all: bool) -> None:
    place = Need(Path("/etc/bangeod/bangeod.toml"), "the config", READ)
    assert bool(judge_secret(place, file(mode))) == open_to_all


ANY_FACTS = st.builds(
    PathFacts,
    uid=st.sampled_from([0, 5, 6]),
    gid=st.sampled_from([0, 4, 50, 60, 65, 999]),
    mode=st.builds(int.__or__, st.integers(0, 0o7777), st.sampled_from([stat.S_IFDIR, stat.S_IFREG])),
)


@given(
    facts=ANY_FACTS,
    needs=st.sampled_from([READ, WRITE, WORK, WORK_IN, SEARCH]),
    remedy=st.sampled_from(Remedy),
)
def test_whatever_is_lacking_is_mended_by_one_command_that_names_the_path(
    facts: PathFacts, needs: Access, remedy: Remedy
) -> None:
    finding = verdict(facts, needs, remedy)
    assert (finding is None) == (needs & ~granted(facts, BANGEOD) == Access(0))
    if finding:
        assert "'/srv/web app/bangui.db'" in finding.mend or finding.mend.startswith("usermod -aG web bangeod ")
        assert not any(f"-aG {group} " in finding.mend for group in ("root", "adm", "999"))


# --- against the kernel ---


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
NOBODY = 65_534


@pytest.fixture
def open_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bangeod-") as name:  # pytest's own lets nobody but its user in
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture
def nobody() -> Identity:
    user = of_user(NOBODY)
    if user is None:
        pytest.skip("there is no user of the number 65534 on this machine")
    return user


@needs_root
def test_root_judges_for_the_services_user_where_there_is_one(
    nobody: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "SERVICE_USER", nobody.name)
    assert choose(None) == nobody
    monkeypatch.setattr(identity, "SERVICE_USER", "no-such-user")
    assert choose(None).uid == 0


def test_who_asks_for_nobody_in_particular_is_judged_for_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert choose(None).uid == 4711
    with pytest.raises(UsageError, match="only root can find out what user 'root' may do"):
        choose("root")


@needs_root
@pytest.mark.parametrize("owner", ["owner", "group", "others"])
def test_the_judgement_by_modes_is_the_kernels(open_directory: Path, nobody: Identity, owner: str) -> None:
    paths: list[Path] = []
    for mode in range(0o1000):
        path = open_directory / f"{mode:03o}"
        path.touch()
        os.chown(path, nobody.uid if owner == "owner" else 0, nobody.gid if owner == "group" else 0)
        path.chmod(mode)
        paths.append(path)
    bits = (READ, WRITE, SEARCH)

    def ask() -> bytes:
        return bytes(sum(bit for bit in bits if os.access(path, bit)) for path in paths)

    found = [PathFacts(status.st_uid, status.st_gid, status.st_mode) for status in map(os.stat, paths)]
    assert [Access(answer) for answer in run_as(nobody, ask)] == [granted(facts, nobody) for facts in found]


@needs_root
def test_work_as_another_user_has_none_of_roots_rights(nobody: Identity) -> None:
    def ask() -> bytes:
        return repr((os.getresuid(), os.getresgid(), set(os.getgroups()))).encode()

    ids, groups = (nobody.uid,) * 3, (nobody.gid,) * 3
    assert run_as(nobody, ask).decode() == repr((ids, groups, set(nobody.groups)))

    def regain() -> bytes:
        os.setuid(0)
        return b"root again"

    with pytest.raises(LookFailedError, match="nobody failed: PermissionError"):
        run_as(nobody, regain)
    assert os.getuid() == 0


@needs_root
def test_the_end_of_the_process_that_looks_is_reported(nobody: Identity) -> None:
    def die() -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    with pytest.raises(LookFailedError, match="-9"):
        run_as(nobody, die)
