"""A config that can't be used: everything that is wrong with it is named at once."""

import os
import socket
from pathlib import Path

import pytest

from bangeod.config import load
from bangeod.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bangeod.toml"


def findings_of(file: Path, text: str | bytes, **environ: str) -> dict[str, str]:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load(file, environ)
    assert caught.value.file == str(file)
    assert caught.value.exit_status == 78
    return {finding.key: finding.problem for finding in caught.value.findings}


def test_everything_that_is_wrong_is_reported_at_once(file: Path) -> None:
    found = findings_of(
        file,
        """
        colour = 1
        log = "loud"
        [database]
        path = "bangui.db"
        [jobs.geo_cache_flush]
        interval = 0
        timeout = "25h"
        [jobs.nightly]
        """,
    )
    assert list(found) == [
        "database.path",
        "jobs.geo_cache_flush.interval",
        "jobs.geo_cache_flush.timeout",
        "jobs.nightly",
        "log",
        "colour",
    ]


def test_a_finding_says_where_what_was_expected_and_what_was_found(file: Path) -> None:
    file.write_text("[jobs.session_cleanup]\nenabled = 'yes'")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert str(caught.value) == (f'{file}: jobs.session_cleanup.enabled: expected true or false; found "yes"')


DURATION = "a duration from"

UNFIT = [
    ("database.path", '""', "an absolute path"),
    ("database.path", '"~/bangui.db"', "an absolute path"),
    ("database.path", '"/a\\u0000b"', "an absolute path"),
    ("database.path", "1", "an absolute path"),
    ("database.busy_timeout", "-1", DURATION),
    ("database.busy_timeout", '"5"', DURATION),
    ("database.busy_timeout", '"5 s"', DURATION),
    ("database.busy_timeout", '"5w"', DURATION),
    ("database.busy_timeout", '"-5s"', DURATION),
    ("database.busy_timeout", '"\u0665s"', DURATION),
    ("database.busy_timeout", "true", DURATION),
    ("database.busy_timeout", "nan", DURATION),
    ("database.busy_timeout", "inf", DURATION),
    ("database.busy_timeout", "0x" + "f" * 5000, DURATION),
    ("database.max_lock_time", "0", DURATION),
    ("database.max_lock_time", '"1m"', DURATION),
    ("fleet.url", '"mysql://a/b"', "postgresql://USER@HOST:PORT/DATABASE"),
    ("fleet.host", '"web 1"', "a name without spaces"),
    ("fleet.host", '"web\\u0000"', "a name without spaces"),
    ("fleet.host", f'"{"x" * 254}"', "a name without spaces"),
    ("fleet.timeout", "0", DURATION),
    ("fleet.timeout", '"2s"', DURATION),
    ("cache.max_entries", "0", "a whole number from 1"),
    ("cache.max_entries", "true", "a whole number from 1"),
    ("cache.max_entries", "1.0", "a whole number from 1"),
    ("cache.max_dirty", "-1", "a whole number from 1"),
    ("geo.mmdb", '"/a.mmdb"', "an array of absolute paths"),
    ("geo.mmdb", '["/a.mmdb", "b.mmdb"]', "an array of absolute paths"),
    ("geo.embedded", "1", "true or false"),
    ("geo.ip_api.url", '"ip-api.com/batch"', "an http:// or https:// address"),
    ("geo.ip_api.url", '"ftp://ip-api.com/"', "an http:// or https:// address"),
    ("geo.ip_api.url", '"http://"', "an http:// or https:// address"),
    ("geo.ip_api.url", '"http://[::1"', "an http:// or https:// address"),
    ("geo.ip_api.url", '"http://[nonsense]/"', "an http:// or https:// address"),
    ("geo.ip_api.url", '"http://example.org:99999/"', "an http:// or https:// address"),
    ("geo.ip_api.url", '"http://exa mple.org/"', "an http:// or https:// address"),
    ("geo.ip_api.url", '"https://example.org/?key=s3cret"', "an http:// or https:// address"),
    ("geo.ip_api.url", '"https://user:s3cret@example.org/"', "an http:// or https:// address"),
    ("geo.ip_api.key", '"s3 cret"', "at most 512 printable"),
    ("geo.ip_api.key", "1234567", "at most 512 printable"),
    ("geo.ip_api.timeout", "0", DURATION),
    ("geo.update.source", '"../etc"', '"dbip-country-lite", "dbip-asn-lite", "GeoLite2-Country" or "GeoLite2-ASN"'),
    ("geo.update.source", '"GeoLite2-City"', '"dbip-country-lite"'),
    ("geo.update.source", '["dbip-asn-lite", 1]', '"dbip-country-lite"'),
    ("geo.update.source", "[]", '"dbip-country-lite"'),
    ("geo.update.account_id", '"12:34"', "an account number in quotes"),
    ("geo.update.account_id", "123456", "an account number in quotes"),
    ("geo.update.license_key", '"s3 cret"', "at most 512 printable"),
    ("fail2ban.database", "false", 'an absolute path, or ""'),
    ("fail2ban.database", '"f.sqlite3"', 'an absolute path, or ""'),
    ("jobs.geo_cache_flush.interval", '"0s"', DURATION),
    ("jobs.geo_cache_flush.interval", "-60", DURATION),
    ("jobs.geo_cache_flush.interval", '"999999d"', DURATION),
    ("jobs.geo_re_resolve.timeout", "86401", DURATION),
    ("jobs.geo_cache_cleanup.retention_days", "0", "a whole number from 1"),
    ("jobs.geo_cache_cleanup.retention_days", '"90d"', "a whole number from 1"),
    ("jobs.geo_cache_cleanup.max_rows", "-1", "a whole number from 0"),
    ("api.socket", f'"/{"x" * 107}"', "an absolute path of at most 107 bytes"),
    ("api.mode", "660", "an octal mode in quotes"),
    ("api.mode", '"0680"', "an octal mode in quotes"),
    ("log.level", '"INFO"', '"debug", "info", "warning" or "error"'),
    ("log.format", '"xml"', '"auto", "journal", "json" or "console"'),
    ("state.directory", "2026-01-01", "an absolute path"),
]


@pytest.mark.parametrize(("key", "raw", "expected"), UNFIT)
def test_a_value_that_does_not_fit_is_named_with_what_was_expected(
    file: Path, key: str, raw: str, expected: str
) -> None:
    found = findings_of(file, f"{key} = {raw}")
    assert list(found) == [key]
    assert found[key].startswith(f"expected {expected}")
    assert "; found " in found[key]
    assert "s3" not in found[key]
    assert "1234567" not in found[key]


def test_a_timeout_of_a_day_is_not_too_long(file: Path) -> None:
    file.write_text('[jobs.geo_cache_flush]\ntimeout = "24h"')
    assert load(file, {}).jobs.geo_cache_flush.timeout == 86_400


def test_an_unknown_key_comes_with_the_one_that_was_meant(file: Path) -> None:
    found = findings_of(file, "[jobs.geo_cache_cleanup]\nretention_day = 3")
    assert found == {"jobs.geo_cache_cleanup.retention_day": "unknown key; did you mean retention_days?"}


def test_an_unknown_key_that_resembles_none_comes_with_those_there_are(file: Path) -> None:
    assert findings_of(file, "[log]\nx = 3") == {"log.x": "unknown key; expected one of level, format"}


def test_the_value_of_an_unknown_key_is_not_shown(file: Path) -> None:
    assert "s3cret" not in str(findings_of(file, '[geo.ip_api]\napi_key = "s3cret"'))


def test_a_file_of_another_program_does_not_fill_the_log(file: Path) -> None:
    found = findings_of(file, "".join(f"option_{n} = {n}\n" for n in range(1000)))
    assert len(found) == 21
    assert found[""] == "980 more unknown keys; is this a config of bangeod?"


def test_a_key_that_is_no_plain_word_is_quoted(file: Path) -> None:
    assert list(findings_of(file, '"a\\u001b[31m\\nb" = 1')) == ['"a\\u001b[31m\\nb"']


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[log]\nlevel = loud\n", "not TOML: line 2, column 9: "),
        (b"[log", "not TOML: line 1, column 5: "),
        (b"a = [\n1,\n", "not TOML: line 3, column 1: "),
        (b"[log]\n[log]\n", "not TOML: line 2, column 5: "),
        (b"[log]\n# \xe4\n", "line 2 is not UTF-8 (byte 0xe4)"),
        (b"a = " + b"9" * 5000, "not TOML that bangeod can read: a number in it has too many digits"),
        (b"a = " + b"[" * 5000, "not TOML that bangeod can read: arrays or tables in it are nested"),
        (b"#" * (1024 * 1024 + 1), "larger than 1048576 bytes"),
        (b"SQLite format 3\0", "not TOML: line 1, column 8: "),
    ],
)
def test_a_file_that_is_not_toml_is_refused_with_the_place(file: Path, content: bytes, expected: str) -> None:
    found = findings_of(file, content)
    assert list(found) == [""]
    assert found[""].startswith(expected)


def problem_of(path: Path, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    (finding,) = caught.value.findings
    return finding.problem


def test_a_missing_file_is_refused_with_what_to_do(file: Path) -> None:
    assert problem_of(file).startswith("there is no such file: write one (bangeod.toml.example")


def test_a_path_that_leads_through_a_file_is_refused(file: Path) -> None:
    file.touch()
    assert problem_of(file / "x") == "can't be read: Not a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused_with_what_to_do(file: Path) -> None:
    file.touch(mode=0)
    assert "may not read it: give it read permission" in problem_of(file)


def test_a_lack_of_permission_is_named_with_the_user(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    assert problem_of(file).startswith(f"this user (uid {os.geteuid()}) may not read it")


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert problem_of(tmp_path) == "expected a regular file; found a directory"
    assert problem_of(tmp_path / "fifo") == "expected a regular file; found a FIFO"
    assert problem_of(Path("/dev/null")) == "expected a regular file; found a device"


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is limited in length
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        assert problem_of(Path("s")).startswith("can't be read: ")


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_reading_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = open_descriptors()
    for _ in range(3):
        problem_of(tmp_path)
    assert open_descriptors() == before


# Keys


def test_a_key_is_not_sent_in_clear_text(file: Path) -> None:
    found = findings_of(file, '[geo.ip_api]\nurl = "http://example.org/"\nkey = "s3cret"')
    assert list(found) == ["geo.ip_api.url"]
    assert "clear text" in found["geo.ip_api.url"]
    assert "s3cret" not in str(found)


def test_a_key_of_the_environment_is_held_to_the_same_rules(file: Path) -> None:
    found = findings_of(file, "", BANGEOD_IP_API_KEY="s3 cret")
    assert found["geo.ip_api.key"].startswith("$BANGEOD_IP_API_KEY: expected ")
    assert "s3" not in str(found)
    found = findings_of(file, '[geo.ip_api]\nurl = "http://a.b/"', BANGEOD_IP_API_KEY="k")
    assert list(found) == ["geo.ip_api.url"]


def test_the_service_for_paying_users_needs_a_key(file: Path) -> None:
    found = findings_of(file, '[geo.ip_api]\nenabled = true\nurl = "https://pro.ip-api.com/batch"')
    assert list(found) == ["geo.ip_api.key"]


def test_a_key_that_is_refused_is_not_said_to_be_missing_too(file: Path) -> None:
    text = '[geo.ip_api]\nenabled = true\nurl = "https://pro.ip-api.com/batch"\nkey = 1'
    assert len(findings_of(file, text)) == 1


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 5000, b"s3 cret"])
def test_a_credential_that_is_no_key_is_refused(file: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ip_api_key").write_bytes(content)
    found = findings_of(file, "", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert found["geo.ip_api.key"].startswith(f"the credential {tmp_path}/ip_api_key: ")
    assert "s3" not in str(found)


def test_a_credential_that_can_not_be_read_is_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "ip_api_key").mkdir()
    found = findings_of(file, "colour = 1", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert list(found) == ["colour", "geo.ip_api.key"]


def test_a_state_directory_of_the_environment_that_is_relative_is_refused(file: Path) -> None:
    found = findings_of(file, "", STATE_DIRECTORY="state")
    assert found["state.directory"].startswith("$STATE_DIRECTORY: expected an absolute path")


def test_a_licence_key_of_the_environment_is_held_to_the_same_rules(file: Path) -> None:
    found = findings_of(file, "", BANGEOD_LICENSE_KEY="s3 cret")
    assert found["geo.update.license_key"].startswith("$BANGEOD_LICENSE_KEY: expected ")
    assert "s3" not in str(found)
