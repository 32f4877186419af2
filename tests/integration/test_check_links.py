"""``bangeod check`` on a database that is reached by symbolic links, or has more than one name."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bangeod.store import symlinks
from tests.support.daemon.check_command import BAD, GOOD, IS_ROOT, as_nobody, check, everything_in, only, wrong
from tests.support.daemon.installation import Installation


@pytest.fixture
def real(place: Installation) -> Path:
    """Put the database elsewhere, and a link in its place; return where it is."""
    real = symlinks.real(place.home) / "data/real.db"
    real.parent.mkdir()
    place.database.rename(real)
    place.database.symlink_to("data/real.db")
    return real


def test_a_live_database_behind_a_link_is_read_with_the_log_beside_it(place: Installation, real: Path) -> None:
    with place.connection() as web_app:
        web_app.execute("INSERT INTO sessions (token) VALUES ('in the log')")
        web_app.execute("CREATE TABLE in_the_log (a)")
        findings = check(place, status=GOOD)
    assert wrong(findings) == []
    assert {
        ("database", f"a SQLite database in WAL mode; symbolic links lead to {real}"),
        ("schema", "table sessions: 1 row, 0 expired"),
    } <= {(finding["subject"], finding["problem"]) for finding in findings}


def test_nothing_is_left_behind(place: Installation, real: Path) -> None:
    before = everything_in(place.home)
    assert wrong(check(place, status=GOOD)) == []
    assert everything_in(place.home) == before


def nowhere(database: Path) -> None:
    database.with_name("data").joinpath("real.db").unlink()


def circle(database: Path) -> None:
    database.unlink()
    database.symlink_to("other")
    database.with_name("other").symlink_to(database.name)


@pytest.mark.parametrize(
    ("change", "expected"),
    [(nowhere, "leads to {}, and nothing is there"), (circle, "symbolic links lead in a circle, from")],
)
def test_links_that_lead_to_no_database_are_a_fault(
    place: Installation, real: Path, change: Callable[[Path], None], expected: str
) -> None:
    change(place.database)
    finding = only(check(place, status=BAD), "database")
    assert expected.format(real) in finding["problem"]
    assert str(symlinks.real(place.home) / place.database.name) in finding["problem"]


def test_a_second_name_of_the_file_is_warned_about(place: Installation) -> None:
    place.database.with_name("second.db").hardlink_to(place.database)
    finding = only(check(place, status=GOOD), "database", "warning")
    assert "has 2 names (hard links)" in finding["problem"]
    assert "-samefile" in finding["mend"]


@pytest.mark.skipif(not IS_ROOT, reason="who isn't root would be kept out of its own directory")
@pytest.mark.parametrize("closed", ["links", "second", "data"])
def test_a_closed_directory_on_the_way_of_the_links_is_a_fault(place_of_nobody: Installation, closed: str) -> None:
    home = place_of_nobody.home
    for name in ("links", "second", "data"):
        (home / name).mkdir(mode=0o777)
        (home / name).chmod(0o777)
    place_of_nobody.database.rename(home / "data/real.db")
    (home / "second/bangui.db").symlink_to(home / "data/real.db")
    (home / "links/bangui.db").symlink_to("../second/bangui.db")
    place_of_nobody.configure({"database.path": str(home / "links/bangui.db")})
    os.chown(home / closed, 0, 0)
    (home / closed).chmod(0o700)
    faults = {
        finding["where"]
        for finding in check(place_of_nobody, *as_nobody(), status=BAD)
        if finding["subject"] == "permissions" and finding["level"] == "fault"
    }
    assert faults == {str(symlinks.real(home) / closed)}
