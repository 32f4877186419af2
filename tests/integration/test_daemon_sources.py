"""MMDBs that are missing, empty or damaged are named and do no harm; a good one is taken up when it comes."""

import json
from pathlib import Path

import pytest

from tests.integration.conftest import LateMmdb, Start
from tests.support.daemon.installation import Installation, every, text
from tests.support.daemon.process import bangeod
from tests.support.feed import eventually
from tests.support.mmdb.files import nested, write_mmdb

GOOGLE = "8.8.8.8"
CLOUDFLARE = "1.1.1.1"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, ("mmdb_missing", "there is no such file")),
        (b"", ("mmdb_refused", "empty")),
        (b"this is no MMDB " * 1000, ("mmdb_refused", "MMDB")),
    ],
    ids=["missing", "empty", "something else"],
)
def test_an_mmdb_that_is_no_good_is_named_and_the_embedded_default_answers(
    start: Start, place: Installation, tmp_path: Path, content: bytes | None, said: tuple[str, str]
) -> None:
    mmdb = tmp_path / "country.mmdb"
    if content is not None:
        mmdb.write_bytes(content)
    place.insert(rows=[(GOOGLE, None, text())])
    daemon = start(every("100ms", "geo_re_resolve"), {"geo.mmdb": [str(mmdb)]})
    event, problem = said
    (line,) = daemon.lines(event)
    assert (line["level"], line["path"]) == ("warning", str(mmdb))
    assert problem in line["problem"]
    assert "exception" not in line
    daemon.wait_for("geo_re_resolve_complete", resolved=1)
    assert daemon.stop() == 0
    assert place.countries() == {GOOGLE: "US"}


@pytest.mark.parametrize("damage", ["cut short", "overwritten"])
def test_a_damaged_mmdb_does_not_take_the_daemon_with_it(
    start: Start, place: Installation, tmp_path: Path, damage: str
) -> None:
    mmdb = write_mmdb(tmp_path / "country.mmdb", {f"{n}.0.0.0/8": nested("US") for n in range(1, 9)})
    whole = mmdb.read_bytes()
    middle = len(whole) // 2
    mmdb.write_bytes(whole[:middle] if damage == "cut short" else whole[: middle // 2] + bytes(middle) + whole[-200:])
    place.insert(rows=[(GOOGLE, None, text())])
    daemon = start(every("100ms", "geo_re_resolve"), {"geo.mmdb": [str(mmdb)]})
    daemon.wait_for("geo_re_resolve_complete")
    assert daemon.stop() == 0
    assert not [line for line in daemon.lines() if line["level"] in {"error", "critical"}]


def test_of_several_mmdbs_a_bad_one_leaves_the_others_in_use(start: Start, place: Installation, tmp_path: Path) -> None:
    good = write_mmdb(tmp_path / "good.mmdb", {"8.8.8.0/24": nested("SE")})
    (tmp_path / "bad.mmdb").write_bytes(b"bad")
    place.insert(rows=[(GOOGLE, None, text()), (CLOUDFLARE, None, text())])
    files = [str(tmp_path / "bad.mmdb"), str(tmp_path / "missing.mmdb"), str(good)]
    daemon = start(every("100ms", "geo_re_resolve"), {"geo.mmdb": files, "api.enabled": True})
    assert daemon.lines("mmdb_loaded")[0]["path"] == str(good)
    status = json.loads(bangeod("status", "--json", "--config", str(place.config)).stdout)
    assert [mmdb["good_for"] for mmdb in status["sources"]["mmdb"]] == [None, None, "countries of IPv4"]
    daemon.wait_for("geo_re_resolve_complete", retried=2, resolved=1)
    assert place.countries() == {GOOGLE: "SE", CLOUDFLARE: None}  # with an MMDB, no embedded default


def test_the_last_good_mmdb_stays_in_use_where_the_next_one_is_bad(
    start: Start, place: Installation, tmp_path: Path
) -> None:
    mmdb = write_mmdb(tmp_path / "country.mmdb", {"8.8.8.0/24": nested("SE")})
    daemon = start(every("100ms", "geo_re_resolve"), {"geo.mmdb": [str(mmdb)]})
    mmdb.unlink()
    mmdb.write_bytes(b"half a downlo")
    daemon.reload()
    assert daemon.wait_for("mmdb_refused")["old_one_in_use"] is True
    place.insert(rows=[(GOOGLE, None, text())])
    daemon.wait_for("geo_re_resolve_complete", resolved=1)
    assert place.countries() == {GOOGLE: "SE"}


def test_without_any_source_addresses_stay_unresolved(start: Start, place: Installation) -> None:
    place.insert(rows=[(GOOGLE, None, text())])
    start(every("100ms", "geo_re_resolve"), {"geo.embedded": False}).wait_for("geo_re_resolve_complete", resolved=0)
    assert place.countries() == {GOOGLE: None}


def test_an_mmdb_that_comes_while_the_daemon_runs_is_taken_up_within_a_minute(late_mmdb: LateMmdb) -> None:
    daemon, place, mmdb = late_mmdb
    daemon.wait_for("mmdb_loaded", path=str(mmdb), timeout=60)
    eventually(lambda: place.countries() == {GOOGLE: "US", "2001:4860::1": "US"}, "it is asked at once")
    assert daemon.stop() == 0


def test_an_mmdb_that_is_swapped_has_what_is_cached_verified_against_it(
    start: Start, place: Installation, tmp_path: Path
) -> None:
    mmdb = write_mmdb(tmp_path / "country.mmdb", {"8.8.8.0/24": nested("SE"), "1.1.1.0/24": nested("AU")})
    place.insert(rows=[(GOOGLE, None, text()), (CLOUDFLARE, "NZ", text())])
    daemon = start(every("100ms", "geo_re_resolve", "geo_cache_flush"), {"geo.mmdb": [str(mmdb)]})
    eventually(lambda: place.countries() == {GOOGLE: "SE", CLOUDFLARE: "NZ"}, "only what was unresolved is resolved")
    write_mmdb(mmdb, {"8.8.8.0/24": nested("NO")})
    daemon.reload()
    assert daemon.wait_for("geo_cache_verified", changed=1)["checked"] == 2
    eventually(lambda: place.countries() == {GOOGLE: "NO", CLOUDFLARE: "NZ"}, "the row follows")
    assert daemon.stop() == 0


def test_an_mmdb_that_was_swapped_while_the_daemon_was_down_has_it_verified_too(
    start: Start, place: Installation, tmp_path: Path
) -> None:
    mmdb = write_mmdb(tmp_path / "country.mmdb", {"8.8.8.0/24": nested("SE")}, build_epoch=1_700_000_000)
    place.insert(rows=[(GOOGLE, "SE", text())])
    daemon = start({"geo.mmdb": [str(mmdb)]})
    assert daemon.stop() == 0
    write_mmdb(mmdb, {"8.8.8.0/24": nested("NO")}, build_epoch=1_800_000_000)
    daemon = start(every("100ms", "geo_cache_flush"), {"geo.mmdb": [str(mmdb)]})
    daemon.wait_for("geo_cache_verified", changed=1)
    eventually(lambda: place.countries() == {GOOGLE: "NO"}, "the row follows")
    assert daemon.stop() == 0
