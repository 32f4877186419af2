"""Which database a config means: SQLite's file or a server's, never both, and the server's with its password."""

import sys
from pathlib import Path

import pytest

from bangeod.config import Settings, differences, load, to_toml
from bangeod.config.database import password_in
from bangeod.errors import ConfigError
from bangeod.store.postgres import driver

SECRET = "s3kr3t"
URL = "postgresql://bangeod@db.example/bangui"
WITH_PASSWORD = f"postgresql://bangeod:{SECRET}@db.example/bangui"


@pytest.fixture(autouse=True)
def with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "available", lambda: True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bangeod.toml"


def load_text(file: Path, text: str, **environ: str) -> Settings:
    file.write_text(text)
    return load(file, environ)


def findings_of(file: Path, text: str, **environ: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_text(file, text, **environ)
    assert SECRET not in str(caught.value)
    assert SECRET not in str(caught.value.log_fields())
    return {finding.key: finding.problem for finding in caught.value.findings}


def url_of(text: str) -> str:
    return f'[database]\nurl = "{text}"\n'


# One of the two


def test_a_url_stands_in_the_paths_place(file: Path) -> None:
    database = load_text(file, url_of(URL) + 'schema = "web"').database
    assert (database.path, database.name, database.schema) == (None, URL, "web")
    with pytest.raises(LookupError):
        assert database.file


def test_without_a_url_the_database_is_the_file(file: Path) -> None:
    database = load_text(file, '[database]\npath = "/a.db"\nurl = ""').database
    assert (database.name, database.file, database.url) == ("/a.db", Path("/a.db"), None)


def test_path_and_url_together_are_refused(file: Path) -> None:
    found = findings_of(file, url_of(WITH_PASSWORD) + 'path = "/var/lib/bangui/bangui.db"')
    assert found == {"database.url": "expected either path or url; found both: take out the one that is not used"}
    assert load_text(file, url_of(URL) + 'path = ""').database.path is None


def test_neither_path_nor_url_is_refused(file: Path) -> None:
    found = findings_of(file, '[database]\npath = ""')
    assert found == {"database.path": 'expected an absolute path, or url in its place; found "" and no url'}


def test_a_schema_beside_a_path_is_refused(file: Path) -> None:
    assert list(findings_of(file, '[database]\nschema = "web"')) == ["database.schema"]


@pytest.mark.parametrize("raw", ['"web\\u0000"', f'"{"x" * 64}"', "1"])
def test_a_schema_is_a_name(file: Path, raw: str) -> None:
    assert findings_of(file, f"{url_of(URL)}schema = {raw}")["database.schema"].startswith("expected the name of a")


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (f'"mysql://u:{SECRET}@a/b"', "no postgresql:// at its beginning"),
        (f'"postgresql://u:{SECRET}@a:99999/b"', "a port of the host that is no number from 1 to 65535"),
        (f'"postgresql://u:{SECRET}@a/b?sslmod=require"', "the 1st parameter, sslmod, which is none of those"),
        (f'"postgresql://u:{SECRET}/x@a/b"', "a port of the host that is no number"),
        ("1", "something else, not shown here"),
        ("[]", "an array"),
    ],
)
def test_a_url_with_a_mistake_is_named_with_its_place_and_never_shown(file: Path, raw: str, found: str) -> None:
    problems = findings_of(file, f"[database]\nurl = {raw}")
    assert list(problems) == ["database.url"]
    assert problems["database.url"].startswith("expected postgresql://USER@HOST:PORT/DATABASE")
    assert f"; found {found}" in problems["database.url"]


def test_ip_api_can_not_be_asked_beside_a_server(file: Path) -> None:
    found = findings_of(file, url_of(URL) + "[geo.ip_api]\nenabled = true")
    assert list(found) == ["geo.ip_api.enabled"]


# The extra


def test_without_the_extra_a_url_is_refused_with_the_command_that_installs_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "available", lambda: False)
    found = findings_of(file, url_of(WITH_PASSWORD))
    assert list(found) == ["database.url"]
    assert f"{sys.executable} -m pip install 'bangeod[postgres]'" in found["database.url"]
    assert load_text(file, "") == Settings()


# The password


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    directory = tmp_path / "credentials"
    directory.mkdir()
    return directory


def password_of(settings: Settings) -> str | None:
    assert settings.database.url is not None
    return settings.database.url.password


def test_the_password_is_the_credentials_else_of_the_file_of_passwords_else_of_the_url(
    file: Path, credentials: Path
) -> None:
    there = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert password_of(load_text(file, url_of(WITH_PASSWORD), **there)) == SECRET
    assert password_of(load_text(file, url_of(WITH_PASSWORD), PGPASSFILE="/pgpass", **there)) is None
    (credentials / "postgres_password").write_text("from credential \n")
    assert password_of(load_text(file, url_of(WITH_PASSWORD), PGPASSFILE="/pgpass", **there)) == "from credential "
    assert password_of(load_text(file, url_of(URL), **there)) == "from credential "
    assert load_text(file, "", **there).database.url is None


@pytest.mark.parametrize("content", [b"", b"\n", f"{SECRET}\nmore".encode(), f"{SECRET}\0".encode(), b"\xff"])
def test_a_credential_that_is_no_password_is_refused_and_not_shown(
    file: Path, credentials: Path, content: bytes
) -> None:
    (credentials / "postgres_password").write_bytes(content)
    found = findings_of(file, url_of(URL), CREDENTIALS_DIRECTORY=str(credentials))
    assert list(found) == ["database.url"]
    assert found["database.url"].startswith(f"the credential {credentials}/postgres_password: expected")


@pytest.mark.parametrize(("text", "password"), [("x", "x"), ("x\n", "x"), ("x\r\n", "x"), (" ü\n", " ü"), ("\r", None)])
def test_the_line_break_after_a_password_is_none_of_it(text: str, password: str | None) -> None:
    assert password_in(text) == password


# Showing and comparing


def test_the_settings_never_show_the_password(file: Path) -> None:
    settings = load_text(file, url_of(WITH_PASSWORD))
    assert SECRET not in f"{settings} {settings!r} {settings.database.name} {to_toml(settings)}"
    assert f'url = "{URL}"' in to_toml(settings)


def test_what_is_shown_loads_as_the_same_settings_but_for_the_password(file: Path) -> None:
    settings = load_text(file, url_of(WITH_PASSWORD) + 'schema = "web"')
    assert load_text(file, to_toml(settings, mask=False)) == settings
    assert differences(settings, load_text(file, to_toml(settings))) == ["database.url"]


def test_another_password_is_a_difference_of_the_url(file: Path) -> None:
    old, new = (load_text(file, url_of(text)) for text in (URL, WITH_PASSWORD))
    assert differences(old, new) == ["database.url"]
    assert differences(Settings(), old) == ["database.path", "database.url"]
