"""What ``bangeod check`` says of memory: what the tables and geo databases take, against what the service may have."""

from pathlib import Path

import pytest

from bangeod.check import memory
from bangeod.check.finding import Finding, Level
from bangeod.check.memory import MB, Need
from bangeod.config.settings import CacheSettings, DatabaseSettings, GeoSettings, Settings, StateSettings

BOARD = 480 * MB  # what a board of 512 MiB has for Linux
SHARE = 288 * MB  # MemoryMax=60%
COUNTRIES, CITIES = 10 * MB, 65 * MB  # GeoLite2 in 2026


def found(settings: Settings, database: int, geodata: int, limit: int | None = SHARE) -> list[Finding]:
    return list(memory.judge(memory.need(settings, database, geodata), limit, BOARD))


def with_entries(count: int) -> Settings:
    return Settings(cache=CacheSettings(max_entries=count))


@pytest.mark.parametrize(
    ("database", "geodata"),
    [(0, 0), (1 * MB, COUNTRIES), (250 * MB, COUNTRIES), (1 * MB, CITIES)],
    ids=["a first start", "a usual one", "millions of rows", "a file of cities"],
)
def test_by_default_a_board_of_512_mib_has_enough(database: int, geodata: int) -> None:
    assert found(Settings(), database, geodata) == []


def test_what_does_not_fit_is_told_with_how_many_entries_would() -> None:
    [finding] = found(Settings(), 900 * MB, COUNTRIES)
    assert (finding.level, finding.where) == (Level.WARNING, "cache.max_entries")
    assert "may need some 314 MB, and the unit lets it have (MemoryMax=) 288 MB" in finding.problem
    entries = int(finding.mend.partition("max_entries = ")[2].split()[0])
    assert 3_000_000 < entries < 5_000_000
    assert found(with_entries(entries), 900 * MB, COUNTRIES) == []


def test_geo_databases_that_do_not_fit_are_told_as_such() -> None:
    [finding] = found(Settings(), 1 * MB, 2 * CITIES)
    assert finding.where == "geo.mmdb"
    assert "smaller geo databases" in finding.mend


def test_without_a_limit_of_the_units_the_machines_memory_counts() -> None:
    assert found(Settings(), 900 * MB, COUNTRIES, limit=None) == []
    [finding] = found(Settings(), 900 * MB, 3 * CITIES, limit=None)
    assert "the machine has 480 MB" in finding.problem


def test_a_table_that_is_small_needs_no_more_than_its_rows_however_many_may_be_held() -> None:
    assert memory.need(Settings(), 100_000, 0) == Need(1_000 * 335, 0)


def test_the_files_that_are_there_count(tmp_path: Path) -> None:
    database, mmdb = tmp_path / "bangui.db", tmp_path / "a.mmdb"
    database.touch()
    mmdb.touch()
    settings = Settings(
        database=DatabaseSettings(path=database),
        geo=GeoSettings(mmdb=(mmdb, tmp_path / "missing.mmdb")),
        state=StateSettings(directory=tmp_path),
    )
    assert list(memory.examine(settings, SHARE)) == []
    with mmdb.open("wb") as file:
        file.truncate(150 * MB)  # a hole
    [finding] = memory.examine(settings, SHARE)
    assert finding.where == "geo.mmdb"


def test_the_machine_has_memory() -> None:
    assert memory.installed() > 100 * MB
