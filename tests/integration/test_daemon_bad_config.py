"""A config that can't be used, and wrong usage: an exit status for each, every mistake named, no traceback."""

import pytest

from tests.integration.conftest import READ_ALL
from tests.support.daemon.installation import Installation
from tests.support.daemon.process import bangeod


def test_all_mistakes_of_a_config_are_named_at_once(place: Installation) -> None:
    place.configure(
        {
            "jobs.session_cleanup.intervall": "1h",
            "jobs.session_cleanup.interval": "0s",
            "jobs.geo_cache_flush.interval": -60,
            "jobs.geo_re_resolve.timeout": "25h",
            "cache.max_entries": "many",
            "databse.path": "/x",
            "geo.mmdb": "/one/file.mmdb",
        }
    )
    ran = bangeod("run", "--config", str(place.config))
    assert (ran.returncode, ran.stdout) == (78, "")
    keys = {line.removeprefix(f"{place.config}: ").partition(":")[0] for line in ran.stderr.splitlines()}
    assert keys == {
        "jobs.session_cleanup.intervall",
        "jobs.session_cleanup.interval",
        "jobs.geo_cache_flush.interval",
        "jobs.geo_re_resolve.timeout",
        "cache.max_entries",
        "databse",
        "geo.mmdb",
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[database\n", "not TOML: line 1, column 10"),
        (b"\xff\xfe", "line 1 is not UTF-8"),
        (b"database = 1\n", "expected a table"),
        (b'[jobs.geo_cache_flush]\ninterval = "0s"\n', "jobs.geo_cache_flush.interval: expected a duration"),
        (b"[jobs.geo_cache_flush]\ntimeout = -1\n", "jobs.geo_cache_flush.timeout: expected a duration"),
        (b'[jobs.geo_re_resolve]\ntimeout = "24h1s"\n', "jobs.geo_re_resolve.timeout: expected a duration"),
        (b"[jobs.geo_re_resolve]\ntimeout = 86401\n", "jobs.geo_re_resolve.timeout: expected a duration"),
        (b"[log]\nlevle = 1\n", "log.levle: unknown key; did you mean level?"),
    ],
)
def test_a_config_that_cannot_be_used_is_an_exit_status_of_its_own(
    place: Installation, content: bytes, expected: str
) -> None:
    place.config.write_bytes(content)
    ran = bangeod("run", "--config", str(place.config))
    assert (ran.returncode, ran.stdout) == (78, "")
    assert f"{place.config}: " in ran.stderr
    assert expected in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_missing_config_is_named(place: Installation) -> None:
    missing = place.home / "nothing.toml"
    ran = bangeod("run", environ={"BANGEOD_CONFIG": str(missing)})
    assert ran.returncode == 78
    assert f"{missing}: there is no such file" in ran.stderr


def test_a_config_that_may_not_be_read_is_named(place_of_nobody: Installation, as_nobody: tuple[str, ...]) -> None:
    if READ_ALL in as_nobody:
        pytest.skip("this checkout is where only root can read, so that nobody needs the right to read everything")
    place_of_nobody.config.chmod(0o000)
    ran = bangeod("run", "--config", str(place_of_nobody.config), through=as_nobody)
    assert ran.returncode == 78
    assert "may not read it" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "arguments", [("run", "--confg", "x"), ("frobnicate",), ("job", "run"), ("run", "too", "many"), ("lookup",)]
)
def test_wrong_usage_is_an_exit_status_of_its_own(arguments: tuple[str, ...]) -> None:
    ran = bangeod(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Usage: bangeod" in ran.stderr
