"""Which sources are in force as the settings change, and what the other components do about it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from bangeod.config import Settings
from bangeod.jobs.job import JobId
from bangeod.model import Geo, Origin, Status
from bangeod.service.components import Components
from bangeod.service.job_runs import JobRuns
from tests.support.daemon.installation import make_fail2ban
from tests.support.daemon.served import served, settings_in
from tests.support.manual_clock import ManualClock
from tests.support.mmdb.files import GOOGLE, nested, write_mmdb

pytestmark = pytest.mark.slow  # each MMDB is probed by a process

IP = "8.8.8.8"
replace = msgspec.structs.replace


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
async def components(settings: Settings) -> AsyncIterator[Components]:
    async with served(settings, ManualClock()) as components:
        yield components


def with_geo(settings: Settings, **changes: object) -> Settings:
    return replace(settings, geo=replace(settings.geo, **changes))


def with_ip_api(settings: Settings, **changes: object) -> Settings:
    return with_geo(settings, ip_api=replace(settings.geo.ip_api, **changes))


async def take_up(components: Components, settings: Settings) -> bool:
    components.in_force.change(settings)
    components.apply()
    return await components.refresh_sources()


async def test_the_embedded_default_is_read_before_the_first_lookup(components: Components) -> None:
    assert components.sources.embedded._source._table is not None
    assert (await components.cache.lookup(IP)).origin is Origin.EMBEDDED


async def test_an_mmdb_takes_the_place_of_the_embedded_default(
    components: Components, settings: Settings, tmp_path: Path
) -> None:
    file = write_mmdb(tmp_path / "country.mmdb", {"8.8.8.0/24": nested("SE")})
    assert await take_up(components, with_geo(settings, mmdb=(file,)))
    assert not components.sources.embedded.in_force
    assert (await components.cache.lookup(IP)).geo == Geo("SE", "Sweden")
    assert (await components.cache.lookup("9.9.9.9")).status is Status.UNRESOLVED


async def test_addresses_in_other_clothes_are_found_in_a_file_without_aliases_of_ipv4(
    components: Components, settings: Settings, tmp_path: Path
) -> None:
    file = write_mmdb(tmp_path / "country.mmdb", {"8.8.8.0/24": {"country_code": "SE"}}, database_type="country ipvAll")
    await take_up(components, with_geo(settings, mmdb=(file,)))
    dressed = ["::ffff:8.8.8.8", "::FFFF:808:808", "64:ff9b::808:808", "2002:808:808::1", "2001::f7f7:f7f7"]
    answers = await components.cache.lookup_batch(dressed)
    assert [(answer.ip, answer.geo.country_code) for answer in answers] == [(text, "SE") for text in dressed]
    # The first two are 8.8.8.8; the others are addresses of their own, and have rows of their own.
    assert {entry.ip for entry in components.cache.dirty_entries()} == {"8.8.8.8", *dressed[2:]}


async def test_what_is_known_by_its_registration_alone_has_that_country(
    components: Components, settings: Settings, tmp_path: Path
) -> None:
    registered = {"registered_country": nested("US")["country"]}  # as GeoLite2 has all of Cloudflare
    networks = {"104.16.0.0/13": registered, "104.24.0.0/14": registered, "2606:4700::/32": registered}
    file = write_mmdb(tmp_path / "country.mmdb", networks, database_type="GeoLite2-Country")
    await take_up(components, with_geo(settings, mmdb=(file,)))
    answers = await components.cache.lookup_batch(["104.16.0.1", "104.27.255.254", "2606:4700::1111"])
    assert {answer.geo.country_code for answer in answers} == {"US"}


AS_FILE = {"8.8.8.0/24": GOOGLE, "2a00::/16": GOOGLE}


@pytest.mark.parametrize(
    ("networks", "geo"),
    [
        pytest.param(AS_FILE, Geo("US", "United States", "AS15169", "Google LLC"), id="AS alone"),
        pytest.param({"2a00::/16": nested("DE")}, Geo("US", "United States"), id="countries of IPv6"),
    ],
)
async def test_an_mmdb_without_countries_of_ipv4_leaves_the_embedded_default_in_force(
    components: Components, settings: Settings, tmp_path: Path, networks: dict[str, Any], geo: Geo
) -> None:
    await take_up(components, with_geo(settings, mmdb=(write_mmdb(tmp_path / "some.mmdb", networks),)))
    assert components.sources.embedded.in_force
    assert (await components.cache.lookup(IP)).geo == geo
    assert (await components.cache.lookup(IP)).status is Status.RESOLVED


async def test_countries_of_ipv4_beside_an_as_file_switch_the_embedded_default_off(
    components: Components, settings: Settings, tmp_path: Path
) -> None:
    asn = write_mmdb(tmp_path / "asn.mmdb", AS_FILE)
    four = write_mmdb(tmp_path / "four.mmdb", {"9.9.9.0/24": nested("CH")}, ip_version=4)
    await take_up(components, with_geo(settings, mmdb=(asn,)))
    assert await take_up(components, with_geo(settings, mmdb=(asn, four)))
    assert not components.sources.embedded.in_force
    assert (await components.cache.lookup(IP)).status is Status.UNRESOLVED
    assert await take_up(components, with_geo(settings, mmdb=(asn,)))  # it is a source that was not there before
    assert components.sources.embedded.in_force


async def test_with_ip_api_an_as_file_alone_does_not_bring_the_embedded_default_back(
    components: Components, settings: Settings, tmp_path: Path
) -> None:
    asn = write_mmdb(tmp_path / "asn.mmdb", AS_FILE)
    await take_up(components, with_ip_api(with_geo(settings, mmdb=(asn,)), enabled=True))
    assert not components.sources.embedded.in_force


def fetched(settings: Settings, name: str = "dbip-country-lite") -> Path:
    settings.state.directory.mkdir(exist_ok=True)
    return settings.state.directory / f"{name}.mmdb"


async def test_a_fetched_mmdb_is_used_when_it_comes_and_not_missed_before(
    components: Components, settings: Settings
) -> None:
    with capture_logs() as lines:
        assert not await components.sources.refresh()
        assert (await components.cache.lookup("9.9.9.9")).origin is Origin.EMBEDDED
        write_mmdb(fetched(settings), {"8.8.8.0/24": nested("SE")})
        assert await components.sources.refresh()
    assert (await components.cache.lookup(IP)).geo == Geo("SE", "Sweden")
    assert not components.sources.embedded.in_force
    assert [(line["event"], line["log_level"]) for line in lines] == [("mmdb_loaded", "info")]


async def test_a_fetched_mmdb_that_goes_away_is_missed(components: Components, settings: Settings) -> None:
    write_mmdb(fetched(settings), {"8.8.8.0/24": nested("SE")})
    await components.sources.refresh()
    fetched(settings).unlink()
    with capture_logs() as lines:
        await components.sources.refresh()
    assert [(line["event"], line["old_one_in_use"]) for line in lines] == [("mmdb_missing", True)]


async def test_fetched_mmdbs_give_way_to_those_that_are_listed(
    components: Components, settings: Settings, tmp_path: Path
) -> None:
    write_mmdb(fetched(settings), {"8.8.8.0/24": nested("SE")})
    own = write_mmdb(tmp_path / "own.mmdb", {"8.8.8.0/24": nested("NO")})
    await components.sources.refresh()
    assert await take_up(components, with_geo(settings, mmdb=(own,)))
    assert (await components.cache.lookup(IP)).geo.country_code == "NO"


async def test_several_fetched_mmdbs_are_merged(components: Components, settings: Settings) -> None:
    write_mmdb(fetched(settings), {"8.8.8.0/24": nested("SE")})
    write_mmdb(fetched(settings, "dbip-asn-lite"), {"8.8.8.0/24": GOOGLE})
    update = replace(settings.geo.update, source=("dbip-country-lite", "dbip-asn-lite"))
    assert await take_up(components, with_geo(settings, update=update))
    assert (await components.cache.lookup(IP)).geo == Geo("SE", "Sweden", "AS15169", "Google LLC")


async def test_a_listed_mmdb_that_is_missing_is_said_to_be(
    components: Components, settings: Settings, tmp_path: Path
) -> None:
    with capture_logs() as lines:
        await take_up(components, with_geo(settings, mmdb=(tmp_path / "none.mmdb",)))
    assert [line["event"] for line in lines] == ["mmdb_missing"]


async def test_the_embedded_default_answers_again_when_the_mmdb_is_gone(
    components: Components, settings: Settings, tmp_path: Path
) -> None:
    file = write_mmdb(tmp_path / "country.mmdb", {"8.8.8.0/24": nested("SE")})
    await take_up(components, with_geo(settings, mmdb=(file,)))
    assert await take_up(components, settings)
    assert (await components.cache.lookup(IP)).origin is Origin.EMBEDDED


async def test_nothing_new_is_nothing_new(components: Components, settings: Settings) -> None:
    assert not await components.sources.refresh()
    assert not await take_up(components, settings)
    assert not await take_up(components, with_geo(settings, embedded=False))
    assert (await components.cache.lookup(IP)).status is Status.UNRESOLVED


async def test_ip_api_that_is_switched_on_is_asked_about_what_was_put_off(
    components: Components, settings: Settings
) -> None:
    components.resolver.put_off([IP])
    assert await take_up(components, with_ip_api(settings, enabled=True))
    assert components.resolver.remote is components.sources.ip_api is not None
    assert components.resolver.due([IP]) == [IP]
    assert not components.sources.embedded.in_force


async def test_ip_api_with_other_settings_is_another_client_and_the_backoff_stays(
    components: Components, settings: Settings
) -> None:
    await take_up(components, with_ip_api(settings, enabled=True))
    before = components.sources.ip_api
    components.resolver.put_off([IP])
    await take_up(components, with_ip_api(settings, enabled=True, timeout=3.0))
    assert components.sources.ip_api is not before
    assert components.resolver.remote is components.sources.ip_api
    assert components.resolver.due([IP]) == []
    assert before is not None
    assert before._closed


async def test_ip_api_that_is_switched_off_is_asked_no_more(components: Components, settings: Settings) -> None:
    await take_up(components, with_ip_api(settings, enabled=True))
    await take_up(components, settings)
    assert (components.resolver.remote, components.sources.ip_api) == (None, None)


async def test_fail2ban_is_read_where_it_is_named(components: Components, settings: Settings, tmp_path: Path) -> None:
    wanted = replace(settings, fail2ban=replace(settings.fail2ban, database=tmp_path / "fail2ban.sqlite3"))
    await take_up(components, wanted)
    with capture_logs() as lines:
        report = await JobRuns(components, components.store.prepare).run(JobId.GEO_RE_RESOLVE)
    assert report.succeeded
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["fail2ban_unreadable"]


async def test_what_is_wrong_with_fail2ban_is_told_once_by_all_jobs_and_after_a_reload(
    components: Components, settings: Settings, tmp_path: Path
) -> None:
    wanted = replace(settings, fail2ban=replace(settings.fail2ban, database=tmp_path / "fail2ban.sqlite3"))
    runs = JobRuns(components, components.store.prepare)
    with capture_logs() as lines:
        for _ in range(2):
            await take_up(components, wanted)
            for job in (JobId.GEO_RE_RESOLVE, JobId.GEO_CACHE_CLEANUP):
                await runs.run(job)
        make_fail2ban(tmp_path / "fail2ban.sqlite3", IP)
        await runs.run(JobId.GEO_RE_RESOLVE)
    told = [line["event"] for line in lines if line["log_level"] != "debug" and "fail2ban" in line["event"]]
    assert told == ["fail2ban_unreadable", "fail2ban_recovered"]


async def test_a_reader_of_fail2bans_database_stays_until_the_settings_name_another(
    components: Components, settings: Settings, tmp_path: Path
) -> None:
    def naming(name: str) -> Settings:
        return replace(settings, fail2ban=replace(settings.fail2ban, database=tmp_path / name))

    assert components.sources.bans() is None
    await take_up(components, naming("one"))
    one = components.sources.bans()
    assert one is not None
    await take_up(components, with_geo(naming("one"), embedded=False))
    assert components.sources.bans() is one
    await take_up(components, naming("other"))
    assert components.sources.bans() not in (None, one)
    await take_up(components, settings)
    assert components.sources.bans() is None
