"""Where a config has the fleet: its url with its password, and never one that is shown."""

import sys
from pathlib import Path

import pytest

from bangeod.config import Settings, differences, load, to_toml
from bangeod.errors import ConfigError
from bangeod.store.postgres import driver

SECRET = "s3kr3t"
URL = "postgresql://web1@db.example/fleet"
WITH_PASSWORD = f"postgresql://web1:{SECRET}@db.example/fleet"


@pytest.fixture(autouse=True)
def with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "available", lambda: True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bangeod.toml"


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    directory = tmp_path / "credentials"
    directory.mkdir()
    return directory


def load_text(file: Path, text: str, **environ: str) -> Settings:
    file.write_text(text)
    return load(file, environ)


def findings_of(file: Path, text: str, **environ: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_text(file, text, **environ)
    assert SECRET not in str(caught.value)
    return {finding.key: finding.problem for finding in caught.value.findings}


def url_of(text: str) -> str:
    return f'[fleet]\nurl = "{text}"\n'


def password_of(settings: Settings) -> str | None:
    assert settings.fleet.url is not None
    return settings.fleet.url.password


def test_a_fleet_stands_beside_a_path_and_beside_a_url(file: Path) -> None:
    beside_path = load_text(file, url_of(URL))
    assert beside_path.fleet.url is not None
    assert beside_path.database == Settings().database
    beside_url = load_text(file, f'[database]\nurl = "{URL}"\n{url_of(URL)}')
    assert beside_url.fleet.url == beside_url.database.url


def test_without_a_url_there_is_no_fleet(file: Path) -> None:
    assert load_text(file, url_of("")) == Settings()


def test_without_the_extra_a_fleet_is_refused_with_the_command_that_installs_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "available", lambda: False)
    found = findings_of(file, url_of(WITH_PASSWORD))
    assert list(found) == ["fleet.url"]
    assert f"{sys.executable} -m pip install 'bangeod[postgres]'" in found["fleet.url"]


def test_the_password_is_the_fleets_credential_else_the_servers_else_of_the_file_of_passwords_else_of_the_url(
    file: Path, credentials: Path
) -> None:
    there = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert password_of(load_text(file, url_of(WITH_PASSWORD), **there)) == SECRET
    assert password_of(load_text(file, url_of(WITH_PASSWORD), PGPASSFILE="/pgpass", **there)) is None
    (credentials / "postgres_password").write_text("of both\n")
    assert password_of(load_text(file, url_of(WITH_PASSWORD), PGPASSFILE="/pgpass", **there)) == "of both"
    (credentials / "fleet_password").write_text("of the fleet\n")
    both = load_text(file, f'[database]\nurl = "{URL}"\n{url_of(URL)}', **there)
    assert password_of(both) == "of the fleet"
    assert both.database.url is not None
    assert both.database.url.password == "of both"


def test_a_credential_that_is_no_password_is_refused_and_not_shown(file: Path, credentials: Path) -> None:
    (credentials / "fleet_password").write_text(f"{SECRET}\nmore")
    found = findings_of(file, url_of(URL), CREDENTIALS_DIRECTORY=str(credentials))
    assert list(found) == ["fleet.url"]
    assert found["fleet.url"].startswith(f"the credential {credentials}/fleet_password: expected a password")


def test_the_settings_never_show_the_password(file: Path) -> None:
    settings = load_text(file, url_of(WITH_PASSWORD))
    assert SECRET not in f"{settings} {settings!r} {to_toml(settings)}"
    assert f'url = "{URL}"' in to_toml(settings)
    assert load_text(file, to_toml(settings, mask=False)) == settings
    assert differences(settings, load_text(file, to_toml(settings))) == ["fleet.url"]
