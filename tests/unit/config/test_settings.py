"""The settings: what the config and the environment come to where nothing is wrong with them."""

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from bangeod.config import (
    RESTART_ONLY,
    Secret,
    Settings,
    differences,
    duration_text,
    find_file,
    leaves,
    load,
    to_toml,
)
from bangeod.config.values import duration


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bangeod.toml"


def load_text(file: Path, text: str, **environ: str) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


def test_an_empty_file_means_the_defaults(file: Path) -> None:
    assert load_text(file, "") == Settings()


def test_a_key_in_the_file_takes_the_place_of_its_default_and_of_no_other(file: Path) -> None:
    settings = load_text(file, '[jobs.geo_cache_cleanup]\nretention_days = 30\ninterval = "1.5h"')
    assert differences(Settings(), settings) == [
        "jobs.geo_cache_cleanup.interval",
        "jobs.geo_cache_cleanup.retention_days",
    ]
    assert settings.jobs.geo_cache_cleanup.interval == 5400
    assert settings.jobs.geo_cache_cleanup.retention_days == 30


def test_a_byte_order_mark_and_windows_line_ends_are_read_over(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf[log]\r\nlevel = "debug"\r\n')
    assert load(file, {}).log.level == "debug"


def test_the_socket_mode_is_octal(file: Path) -> None:
    assert load_text(file, '[api]\nmode = "0600"').api.permissions == 0o600


def test_an_empty_fail2ban_database_is_none(file: Path) -> None:
    assert load_text(file, '[fail2ban]\ndatabase = ""').fail2ban.database is None
    assert load_text(file, '[fail2ban]\ndatabase = "/f"').fail2ban.database == Path("/f")


@pytest.mark.parametrize(
    ("option", "environ", "expected"),
    [
        ("/o", {"BANGEOD_CONFIG": "/e"}, "/o"),
        (None, {"BANGEOD_CONFIG": "/e"}, "/e"),
        (None, {"BANGEOD_CONFIG": ""}, "/etc/bangeod/bangeod.toml"),
        (None, {}, "/etc/bangeod/bangeod.toml"),
    ],
)
def test_the_file_is_the_options_then_the_environments_then_the_usual_one(
    option: str | None, environ: dict[str, str], expected: str
) -> None:
    assert find_file(option, environ) == Path(expected)


# Durations


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        ("10ms", 0.01),
        ("60s", 60),
        ("10m", 600),
        ("6h", 21_600),
        ("90d", 7_776_000),
        ("1.5h", 5400),
        ("0.5ms", 0.0005),
        (60, 60),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_text_with_a_unit_or_a_number_of_seconds(raw: object, seconds: float) -> None:
    assert duration(0, 1e9).read(raw) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.01, "10ms"),
        (0.0105, "10.5ms"),
        (1.0, "1s"),
        (60.0, "60s"),
        (90.0, "90s"),
        (600.0, "10m"),
        (86_400.0, "24h"),
        (7_776_000.0, "90d"),
        (0.000001, "0.000001s"),
    ],
)
def test_a_duration_is_written_in_the_largest_unit_of_which_there_are_two(seconds: float, text: str) -> None:
    if Decimal(repr(seconds)) * 1000 % 1:
        text = f"{Decimal(repr(seconds)):f}s"
    assert duration_text(seconds) == text


@given(st.floats(0, 31_536_000))
def test_the_text_of_a_duration_reads_as_exactly_the_same(seconds: float) -> None:
    kind = duration(0, 31_536_000)
    read = kind.read(seconds)
    assert isinstance(read, float)
    assert math.isclose(read, seconds, abs_tol=1e-6)
    assert kind.read(duration_text(read)) == read


# Secrets


def test_a_secret_shows_itself_in_no_text_but_when_it_is_asked() -> None:
    settings = msgspec.structs.replace(
        Settings().geo, ip_api=msgspec.structs.replace(Settings().geo.ip_api, key=Secret("s3cret"))
    )
    secret = settings.ip_api.key
    assert "s3cret" not in f"{settings!r} {secret} {secret!r} {(secret,)}"
    assert secret.reveal() == "s3cret"


def test_two_secrets_are_equal_where_their_texts_are() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert hash(Secret("a")) == hash(Secret("a"))


# The environment


def test_the_key_of_the_file_goes_before_the_environments_and_that_before_the_credential(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "ip_api_key").write_text("from-credential\n")
    credentials = str(tmp_path)
    with_key = '[geo.ip_api]\nkey = "from-file"'
    every = load_text(file, with_key, BANGEOD_IP_API_KEY="from-env", CREDENTIALS_DIRECTORY=credentials)
    outside = load_text(file, "", BANGEOD_IP_API_KEY=" from-env ", CREDENTIALS_DIRECTORY=credentials)
    credential = load_text(file, "", BANGEOD_IP_API_KEY="", CREDENTIALS_DIRECTORY=credentials)
    assert every.geo.ip_api.key.reveal() == "from-file"
    assert outside.geo.ip_api.key.reveal() == "from-env"
    assert credential.geo.ip_api.key.reveal() == "from-credential"


def test_the_licence_key_comes_from_the_file_else_the_environment_else_the_credential(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "license_key").write_text("from-credential\n")
    outside = {"BANGEOD_LICENSE_KEY": "from-env", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    every = load_text(file, '[geo.update]\nlicense_key = "from-file"', **outside)
    credential = load_text(file, "", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert every.geo.update.license_key.reveal() == "from-file"
    assert load_text(file, "", **outside).geo.update.license_key.reveal() == "from-env"
    assert credential.geo.update.license_key.reveal() == "from-credential"
    assert not credential.geo.ip_api.key
    assert "from" not in to_toml(credential).replace("from-file", "")


def test_one_geo_database_or_several_are_fetched_and_shown_as_they_are_written(file: Path) -> None:
    several = '[geo.update]\nsource = ["dbip-country-lite", "dbip-asn-lite", "dbip-country-lite"]'
    assert load_text(file, several).geo.update.source == ("dbip-country-lite", "dbip-asn-lite")
    one = load_text(file, '[geo.update]\nsource = ["GeoLite2-ASN"]')
    assert 'source = "GeoLite2-ASN"' in to_toml(one)
    assert load_text(file, to_toml(load_text(file, several))) == load_text(file, several)


def test_a_credentials_directory_without_the_key_means_no_key(file: Path, tmp_path: Path) -> None:
    assert load_text(file, "", CREDENTIALS_DIRECTORY=str(tmp_path)) == Settings()


def test_with_a_key_the_default_url_becomes_the_encrypted_one_of_paying_users(file: Path) -> None:
    assert load_text(file, "", BANGEOD_IP_API_KEY="k").geo.ip_api.url == "https://pro.ip-api.com/batch"
    assert load_text(file, "").geo.ip_api.url == "http://ip-api.com/batch"


@pytest.mark.parametrize(
    "url", ["https://example.org:8443/x", "http://127.0.0.1:8080/", "http://[::1]/", "http://localhost/"]
)
def test_a_url_of_ones_own_stays_where_the_key_is_safe_on_the_way(file: Path, url: str) -> None:
    settings = load_text(file, f'[geo.ip_api]\nurl = "{url}"\nkey = "k"')
    assert settings.geo.ip_api.url == url


def test_the_state_directory_is_the_first_that_systemd_gives_where_the_config_has_the_default(
    file: Path,
) -> None:
    given_by_systemd = {"STATE_DIRECTORY": "/var/lib/private/bangeod:/var/lib/other"}
    default = load_text(file, "", **given_by_systemd)
    chosen = load_text(file, '[state]\ndirectory = "/srv/state"', **given_by_systemd)
    assert default.state.directory == Path("/var/lib/private/bangeod")
    assert chosen.state.directory == Path("/srv/state")


# Showing and comparing


def settings_tables() -> st.SearchStrategy[dict[str, Any]]:
    absolute = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20).map(
        lambda text: f"/{text}"
    )
    job_keys = {"enabled": st.booleans(), "interval": st.floats(0.1, 1e6), "timeout": st.floats(0.1, 86_400)}
    job = st.fixed_dictionaries({}, optional=job_keys)
    return st.fixed_dictionaries(
        {
            "database": st.fixed_dictionaries({"path": absolute, "busy_timeout": st.floats(0, 600)}),
            "geo": st.fixed_dictionaries({"mmdb": st.lists(absolute, max_size=3), "embedded": st.booleans()}),
            "fail2ban": st.fixed_dictionaries({"database": st.just("") | absolute}),
            "jobs": st.fixed_dictionaries({"geo_cache_flush": job, "session_cleanup": job}),
            "state": st.fixed_dictionaries({"directory": absolute}),
        }
    )


@given(table=settings_tables())
def test_what_is_shown_loads_as_the_same_settings(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, Any]
) -> None:
    file = tmp_path_factory.getbasetemp() / "round.toml"
    settings = load_text(file, tomli_w.dumps(table))
    assert load_text(file, to_toml(settings)) == settings


def test_secrets_are_masked_and_the_mask_is_not_taken_for_a_key(file: Path) -> None:
    settings = load_text(file, '[geo.ip_api]\nkey = "s3cret"\n[geo.update]\nlicense_key = "l1cense"')
    shown = to_toml(settings)
    again = load_text(file, shown)
    assert "s3cret" not in shown
    assert "l1cense" not in shown
    assert shown.count('"********"') == 2
    assert not again.geo.ip_api.key
    assert not again.geo.update.license_key
    assert load_text(file, to_toml(settings, mask=False)) == settings


def test_a_masked_key_is_shown_for_the_one_that_the_environment_holds(file: Path) -> None:
    settings = load_text(file, "[geo.ip_api]\nenabled = true", BANGEOD_IP_API_KEY="k")
    assert load_text(file, to_toml(settings), BANGEOD_IP_API_KEY="k") == settings


def test_differences_name_secrets_by_their_key_alone(file: Path) -> None:
    changed = load_text(file, '[geo.ip_api]\nkey = "s3cret"')
    assert differences(Settings(), changed) == ["geo.ip_api.url", "geo.ip_api.key"]


def test_what_needs_a_restart_are_keys_that_exist() -> None:
    assert RESTART_ONLY.issubset(key for key, _ in leaves(Settings()))
