"""Fetching geo databases from a strict server on loopback: what is taken, what is refused, what stays as it was."""

import asyncio
import errno
import gzip
import os
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from bangeod.geo.update import download, unpack
from bangeod.geo.update.answers import UpdateError
from bangeod.geo.update.download import Credentials, make_client
from bangeod.geo.update.install import ABANDONED, Owner, Part
from bangeod.geo.update.releases import SOURCES
from bangeod.geo.update.updater import Update, Updater
from tests.support.manual_clock import ManualClock
from tests.support.mmdb.files import FATAL_RECORD, GOOGLE, US, by_hand, write_mmdb
from tests.support.servers.geodb import ACCOUNT, KEY, NOVEMBER, PERMALINK, GeodbServer, packed, tarred
from tests.support.servers.loopback import Reply, endless, raw, respond, silence

TODAY = NOVEMBER + 19 * 86_400
COUNTRY = SOURCES["dbip-country-lite"]
ASN = SOURCES["dbip-asn-lite"]
MAXMIND = SOURCES["GeoLite2-Country"]
GOOD = by_hand(US, US)
OTHER = by_hand(US, US, database_type="Other")


@pytest.fixture
async def server() -> AsyncIterator[GeodbServer]:
    async with GeodbServer() as server:
        yield server
    assert server.offences == []


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


Make = Callable[..., Updater]


@pytest.fixture
async def make(server: GeodbServer, state: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with make_client() as client:

        def make(directory: Path = state, **options: object) -> Updater:
            options = {"base": server.base, "credentials": Credentials(ACCOUNT, KEY), **options}
            return Updater(directory, client, ManualClock(TODAY), **options)  # type: ignore[arg-type]

        yield make


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def silent(done: int, total: int | None) -> None:
    """Show nothing."""


async def refused(updater: Updater, source: object = COUNTRY) -> str:
    """Update, and return what it ends in."""
    with pytest.raises(UpdateError) as caught:
        await updater.update(source, silent)  # type: ignore[arg-type]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or not isinstance(caught.value.__context__, httpx.HTTPError)
    return str(caught.value)


async def update(updater: Updater, source: object = COUNTRY) -> Update:
    return await updater.update(source, silent)  # type: ignore[arg-type]


# --- what is taken ---


async def test_this_months_file_is_put_in_place_with_its_makers_time(
    server: GeodbServer, make: Make, state: Path
) -> None:
    server.give_dbip(packed(GOOD))
    outcome = await update(make())
    assert outcome.is_new
    assert outcome.path == state / "dbip-country-lite.mmdb"
    assert outcome.path.read_bytes() == GOOD
    assert outcome.path.stat().st_mtime == NOVEMBER
    assert outcome.path.stat().st_mode & 0o777 == 0o644
    assert names_in(state) == {"dbip-country-lite.mmdb"}
    assert "authorization" not in server.requests[0].headers


async def test_last_months_file_is_taken_where_this_months_is_not_out(server: GeodbServer, make: Make) -> None:
    last = server.give_dbip(packed(GOOD), "2026-10")
    assert (await update(make())).is_new
    assert server.asked == ["/free/dbip-country-lite-2026-11.mmdb.gz", last]


async def test_the_error_names_the_months_where_there_is_neither(make: Make) -> None:
    problem = await refused(make())
    assert "dbip-country-lite: 127.0.0.1 has no file for 2026-11 nor for 2026-10: see whether the clock" in problem


async def test_progress_is_told_up_to_the_whole(server: GeodbServer, make: Make) -> None:
    content = packed(GOOD)
    server.give_dbip(content)
    told: list[tuple[int, int | None]] = []
    await make().update(COUNTRY, lambda done, total: told.append((done, total)))
    assert (told[0], told[-1]) == ((0, len(content)), (len(content), len(content)))


async def test_maxminds_redirect_is_followed_without_the_credentials(
    server: GeodbServer, make: Make, state: Path
) -> None:
    server.give_maxmind(tarred({"GeoLite2-Country_20261103/LICENSE.txt": b"x", MEMBER: GOOD}))
    assert (await update(make(), MAXMIND)).path == state / "GeoLite2-Country.mmdb"
    assert [request.headers.get("host") for request in server.requests] == [
        f"127.0.0.1:{server.port}",
        f"localhost:{server.port}",
    ]
    assert ["authorization" in request.headers for request in server.requests] == [True, False]


MEMBER = "GeoLite2-Country_20261103/GeoLite2-Country.mmdb"


# --- what has not changed ---


async def test_what_has_not_changed_is_not_fetched_again(server: GeodbServer, make: Make) -> None:
    server.give_dbip(packed(GOOD))
    before = (await update(make())).path.stat()
    again = await update(make())
    assert not again.is_new
    assert again.findings.database_type == "By-Hand"
    assert again.path.stat().st_ino == before.st_ino
    assert server.requests[1].headers["if-modified-since"] == "Tue, 03 Nov 2026 00:00:00 GMT"


async def test_a_server_that_heeds_no_condition_is_believed_by_its_time(server: GeodbServer, make: Make) -> None:
    server.heeds_age = False
    server.give_dbip(packed(GOOD))
    await update(make())
    assert not (await update(make())).is_new


async def test_the_condition_travels_with_the_redirect(server: GeodbServer, make: Make) -> None:
    server.give_maxmind(tarred({MEMBER: GOOD}))
    await update(make(), MAXMIND)
    assert not (await update(make(), MAXMIND)).is_new


async def test_what_has_changed_is_fetched(server: GeodbServer, make: Make) -> None:
    server.give_dbip(packed(GOOD))
    await update(make())
    server.give_dbip(packed(OTHER))
    server.modified += 60
    outcome = await update(make())
    assert (outcome.is_new, outcome.findings.database_type) == (True, "Other")


async def test_force_fetches_it_in_any_case(server: GeodbServer, make: Make) -> None:
    server.give_dbip(packed(GOOD))
    await update(make())
    assert (await update(make(force=True))).is_new
    assert "if-modified-since" not in server.requests[-1].headers


async def test_a_file_that_was_damaged_on_the_disk_is_fetched_again(
    server: GeodbServer, make: Make, state: Path
) -> None:
    server.give_dbip(packed(GOOD))
    path = (await update(make())).path
    path.write_bytes(b"damaged")
    os.utime(path, (NOVEMBER, NOVEMBER))
    assert (await update(make())).is_new
    assert path.read_bytes() == GOOD


async def test_an_answer_without_a_time_is_taken(server: GeodbServer, make: Make) -> None:
    server.tells_age = False
    server.give_dbip(packed(GOOD))
    assert (await update(make())).path.stat().st_mtime > 0


# --- what is refused, and leaves the old one alone ---

CUT = packed(GOOD)[:-9]
CASES = [
    ("truncated", CUT, "damaged or not all of it"),
    ("wrong checksum", packed(GOOD)[:-8] + bytes(8), "damaged or not all of it"),
    ("trailing rubbish", packed(GOOD) + b"rubbish", "damaged or not all of it"),
    ("a page", b"<html>log in</html>", "is no packed database: something else has answered"),
    ("nothing", b"", "is no packed database"),
    ("garbage", packed(os.urandom(5000)), "what 127.0.0.1 sent is no MMDB, or not all of one"),
    ("nothing in it", packed(b""), "sent is empty"),
    ("a killer", packed(by_hand(FATAL_RECORD, US)), "reading it killed the reader"),
]


@pytest.mark.parametrize(("content", "problem"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_what_is_no_good_database_is_refused_and_the_old_one_stays(
    server: GeodbServer, make: Make, state: Path, content: bytes, problem: str
) -> None:
    old = state / COUNTRY.file_name
    old.write_bytes(OTHER)
    server.modified = old.stat().st_mtime + 60
    server.give_dbip(content)
    text = await refused(make())
    assert problem in text
    assert text.endswith(f"{old} stays as it is")
    assert old.read_bytes() == OTHER
    assert names_in(state) == {old.name}


async def test_a_database_without_what_it_is_for_is_refused(server: GeodbServer, make: Make, tmp_path: Path) -> None:
    networks = write_mmdb(tmp_path / "asn.mmdb", {"8.8.8.0/24": GOOGLE}).read_bytes()
    server.give_dbip(packed(networks))
    assert "holds no country" in await refused(make())
    server.give_dbip(packed(networks), name=ASN.name)
    assert (await update(make(), ASN)).findings.systems == 1


async def test_a_bomb_is_not_unpacked_to_the_end(
    server: GeodbServer, make: Make, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "MAX_BYTES", 1 << 20)
    server.give_dbip(packed(bytes(64 << 20)))
    assert "unpacks to more than 1 MiB" in await refused(make())
    assert names_in(state) == set()


async def test_a_bomb_in_an_archive_is_not_unpacked_to_the_end(
    server: GeodbServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "MAX_BYTES", 1 << 20)
    server.give_maxmind(tarred({"d/other": bytes(8 << 20), MEMBER: GOOD}))
    assert "unpacks to more than 1 MiB" in await refused(make(), MAXMIND)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"])
async def test_a_body_without_end_is_not_read_to_the_end(
    server: GeodbServer, make: Make, state: Path, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 1 << 20)
    server.script["/free/dbip-country-lite-2026-11.mmdb.gz"] = endless(head)
    assert "sends more than 1 MiB" in await refused(make())
    assert names_in(state) == set()


async def test_a_body_that_trickles_ends_at_the_deadline(server: GeodbServer, make: Make, state: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    server.script["/free/dbip-country-lite-2026-11.mmdb.gz"] = endless(head, b"x", pause=0.01)
    assert "not done within 0.005 min" in await refused(make(deadline=0.3))
    assert names_in(state) == set()


async def test_a_server_that_falls_silent_is_not_waited_for(server: GeodbServer, state: Path) -> None:
    server.script["/free/dbip-country-lite-2026-11.mmdb.gz"] = silence(b"HTTP/1.1 200 OK\r\n\r\nx")
    async with make_client(silence=0.1) as client:
        updater = Updater(state, client, ManualClock(TODAY), base=server.base)
        assert "127.0.0.1 stopped sending" in await refused(updater)


@pytest.mark.parametrize(
    "name",
    [
        "../GeoLite2-Country.mmdb",
        "../../GeoLite2-Country.mmdb",
        "/etc/GeoLite2-Country.mmdb",
        "a/b/GeoLite2-Country.mmdb",
        "d/GeoLite2-City.mmdb",
    ],
)
async def test_a_member_that_lies_elsewhere_in_an_archive_is_not_taken(
    server: GeodbServer, make: Make, state: Path, name: str
) -> None:
    server.give_maxmind(tarred({name: GOOD}))
    assert "there is no GeoLite2-Country.mmdb in the archive" in await refused(make(), MAXMIND)
    assert list(state.parent.rglob("*.mmdb")) == []


async def test_an_archive_that_is_cut_off_is_refused(server: GeodbServer, make: Make) -> None:
    server.give_maxmind(tarred({MEMBER: GOOD})[:-20])
    assert "damaged or not all of it" in await refused(make(), MAXMIND)


async def test_a_packed_file_that_is_no_archive_is_refused(server: GeodbServer, make: Make) -> None:
    server.give_maxmind(gzip.compress(GOOD * 50))
    assert "damaged or not all of it" in await refused(make(), MAXMIND)


# --- what servers answer ---


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (respond(401), "compare them with https://www.maxmind.com/en/accounts/current/license-key"),
        (respond(403), "refused this account"),
        (respond(404), "has no such database any more"),
        (respond(429), "try again tomorrow"),
        (respond(503), "has a fault of its own: try again later (status 503)"),
        (respond(304), "is not understood"),
        (respond(302), "does not say which"),
        (respond(302, {"Location": "ftp://127.0.0.1/x"}), "without encryption: not followed"),
        (respond(302, {"Location": PERMALINK}), "without end"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx"), "broke off"),
        (raw(b""), "broke off"),
        (raw(b"nonsense\r\n\r\n"), "broke off"),
    ],
)
async def test_an_answer_that_is_none_says_what_to_do_and_never_the_key(
    server: GeodbServer, make: Make, reply: Reply, problem: str
) -> None:
    server.script[PERMALINK] = reply
    text = await refused(make(), MAXMIND)
    assert problem in text
    assert KEY not in text


async def test_a_wrong_key_is_said_to_be_wrong_and_not_shown(server: GeodbServer, make: Make) -> None:
    text = await refused(make(credentials=Credentials(ACCOUNT, "another_key")), MAXMIND)
    assert "refused account_id or license_key of [geo.update]" in text
    assert "another_key" not in text + repr(Credentials(ACCOUNT, "another_key"))


async def test_nothing_listening_says_so(make: Make, server: GeodbServer) -> None:
    text = await refused(make(base="http://127.0.0.1:1"))
    assert "127.0.0.1 can't be reached (Connection refused)" in text
    assert "see to the network" in text


async def test_a_proxy_of_the_environment_is_used_and_named_where_it_fails(
    server: GeodbServer, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "http://user:s3cret@127.0.0.1:1")
    async with make_client() as client:
        updater = Updater(state, client, ManualClock(TODAY), base="http://db.invalid")
        text = await refused(updater)
    assert "the proxy that the environment names can't be reached" in text
    assert "s3cret" not in text


def test_a_proxy_that_is_none_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "nonsense://user:s3cret@127.0.0.1:1")
    with pytest.raises(UpdateError) as caught:
        make_client()
    assert "https_proxy" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_certificates_are_verified() -> None:
    async with make_client() as client:
        context = client._transport._pool._ssl_context  # type: ignore[attr-defined]
        assert context.verify_mode is ssl.CERT_REQUIRED


# --- the disk ---


@pytest.mark.parametrize(
    "case",
    [
        (errno.ENOSPC, "no room is left there: free some 50 MiB"),
        (errno.EIO, "Input/output error: see to the directory"),
    ],
)
async def test_a_disk_that_takes_no_more_leaves_nothing_behind(
    server: GeodbServer, make: Make, state: Path, case: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    number, problem = case

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    server.give_dbip(packed(GOOD))
    monkeypatch.setattr(Part, "write", fail)
    assert f"can't be put in {state}: {problem}" in await refused(make())
    assert names_in(state) == set()


async def test_a_directory_that_can_not_be_made_is_named(make: Make, tmp_path: Path) -> None:
    assert "there is no such directory" in await refused(make(tmp_path / "a" / "b"))


async def test_a_directory_that_may_not_be_written_comes_with_the_command(
    make: Make, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("bangeod.geo.update.install.Part.__init__", refuse)
    text = await refused(make())
    assert "may not write there: run it as the service's user, sudo -u " in text
    assert "bangeod geodb update" in text


async def test_a_missing_directory_is_made(server: GeodbServer, make: Make, tmp_path: Path) -> None:
    server.give_dbip(packed(GOOD))
    assert (await update(make(tmp_path / "new"))).is_new


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_what_root_fetches_belongs_to_the_owner_of_the_directory(
    server: GeodbServer, make: Make, state: Path, tmp_path: Path
) -> None:
    server.give_dbip(packed(GOOD))
    os.chown(state, 65_534, 65_533)
    made = tmp_path / "made"
    for path in ((await update(make())).path, (await update(make(made, owner=Owner(65_534, 65_533)))).path):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (65_534, 65_533)
    assert made.stat().st_uid == 65_534


async def test_parts_that_a_killed_process_left_are_removed_and_younger_ones_are_not(
    server: GeodbServer, make: Make, state: Path
) -> None:
    server.give_dbip(packed(GOOD))
    names = (".dbip-country-lite.mmdb.0123abcd.part", ".dbip-country-lite.mmdb.0123abce.part", ".mine.part")
    for name, age in zip(names, (ABANDONED + 1, ABANDONED - 1, 2 * ABANDONED), strict=True):
        (state / name).touch()
        os.utime(state / name, (TODAY - age, TODAY - age))
    await update(make())
    assert names_in(state) == {*names[1:], COUNTRY.file_name}


async def test_a_run_that_is_cancelled_leaves_nothing_behind(server: GeodbServer, make: Make, state: Path) -> None:
    path = server.give_dbip(b"")
    server.script[path] = silence(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
    begun = asyncio.Event()
    task = asyncio.create_task(make().update(COUNTRY, lambda done, _: begun.set() if done else None))
    await asyncio.wait_for(begun.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names_in(state) == set()
