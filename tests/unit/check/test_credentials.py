"""What ``bangeod check`` says of the credentials that a unit loads: which file is missing, and where that stands."""

import os
import socket
from pathlib import Path

import pytest

from bangeod.check import credentials, systemctl, unit_files
from bangeod.check.credentials import LARGEST, Credential, declared, judge
from bangeod.check.finding import Finding, Level
from bangeod.check.identity import current

UNIT = "bangeod.service"


@pytest.fixture
def drop_in(tmp_path: Path) -> Path:
    return tmp_path / f"{UNIT}.d" / "key.conf"


def load(drop_in: Path, *lines: str) -> list[Credential]:
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("\n".join(("[Service]", *lines)))
    return declared(unit_files.settings([drop_in]), UNIT)


def found(drop_in: Path, *lines: str) -> list[Finding]:
    return list(judge(load(drop_in, *lines), UNIT, drop_in.parent.parent))


# --- what stands in the files ---


def test_settings_are_read_as_systemd_does(drop_in: Path) -> None:
    lines = (
        "# LoadCredential=a:/a",
        " LoadCredential = b : /b ",
        "LoadCredential=c:/with blanks/c",
        "LoadCredential=\\",
        "; amid it",
        "  d:/d-%n-%%",
        "[Install]",
        "LoadCredential=e:/e",
    )
    drop_in.parent.mkdir()
    drop_in.write_text("\n".join(("[Unit]", "LoadCredential=x:/x", "[Service]", *lines)))
    assert [setting.value for setting in unit_files.settings([drop_in, Path("/no/such/file")])] == [
        "b : /b",
        "c:/with blanks/c",
        "d:/d-%n-%%",
    ]


@pytest.mark.parametrize(
    ("value", "meant"), [("/a%%b/%n", "/a%b/bangeod.service"), ("%t/%N/%p", "/run/bangeod/bangeod"), ("/%H", None)]
)
def test_specifiers_are_put_in_where_they_are_known(value: str, meant: str | None) -> None:
    assert unit_files.expanded(value, UNIT) == meant


def test_the_last_line_of_a_name_counts_and_an_empty_one_takes_all_back(drop_in: Path) -> None:
    loaded = load(
        drop_in, "LoadCredential=a:/1", "LoadCredential=", "LoadCredential=b:/2", "LoadCredentialEncrypted=b:/3"
    )
    assert [(each.id, each.source, each.is_encrypted, each.file) for each in loaded] == [("b", "/3", True, drop_in)]


def test_a_name_alone_is_looked_for_under_that_name(drop_in: Path) -> None:
    assert [each.source for each in load(drop_in, "LoadCredential=ip_api_key", "LoadCredential=b:%H")] == ["ip_api_key"]


def test_the_files_of_a_unit_are_its_own_and_its_drop_ins() -> None:
    shown = {"FragmentPath": "/etc/a.service", "DropInPaths": "/etc/a.service.d/1.conf '/etc/a.service.d/2 3.conf'"}
    assert [str(path) for path in unit_files.files_of(shown)] == [
        "/etc/a.service",
        "/etc/a.service.d/1.conf",
        "/etc/a.service.d/2 3.conf",
    ]
    assert unit_files.files_of({}) == []


# --- what is said of them ---


@pytest.mark.parametrize("kind", ["LoadCredential", "LoadCredentialEncrypted"])
def test_a_file_that_is_not_there_is_a_fault_with_its_name_and_the_place_where_it_stands(
    drop_in: Path, kind: str
) -> None:
    path = drop_in.parent / "no such key"
    (finding,) = found(drop_in, f"{kind}=ip_api_key:{path}")
    assert (finding.level, finding.where) == (Level.FAULT, str(path))
    assert f"{kind}=ip_api_key in {drop_in}" in finding.problem
    assert "bangeod.service does not start" in finding.problem
    assert f"'{path}'" in finding.mend
    assert str(drop_in) in finding.mend


def test_a_link_to_nothing_is_one_too(drop_in: Path, tmp_path: Path) -> None:
    link = tmp_path / "key"
    link.symlink_to(tmp_path / "gone")
    (finding,) = found(drop_in, f"LoadCredential=k:{link}")
    assert finding.problem.startswith("is a link to nothing: ")


def test_what_systemd_can_load_is_no_finding(drop_in: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("secret")
    (tmp_path / "directory").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        sources = [tmp_path / name for name in ("file", "directory", "socket")]
        lines = [f"LoadCredential=k{number}:{path}" for number, path in enumerate([*sources, Path(os.devnull)])]
        assert found(drop_in, *lines) == []


def test_what_has_a_fallback_need_not_be_there(drop_in: Path) -> None:
    lines = ("LoadCredential=k:/no/such/key", "LoadCredential=l", "SetCredential=k:x", "SetCredentialEncrypted=l: Y")
    assert found(drop_in, *lines) == []


def test_an_empty_file_is_a_warning(drop_in: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (finding,) = found(drop_in, f"LoadCredential=ip_api_key:{tmp_path / 'empty'}")
    assert (finding.level, finding.where) == (Level.WARNING, str(tmp_path / "empty"))
    assert "is empty" in finding.problem


@pytest.mark.parametrize(("does", "level"), [("exit 0", None), ("echo No key. >&2; exit 1", Level.FAULT)])
def test_an_encrypted_one_that_systemd_can_not_decrypt_is_a_fault(
    drop_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, level: Level | None
) -> None:
    (tmp_path / "systemd-creds").write_text(f'#!/bin/sh\n[ "$2" = --name=ip_api_key ] || exit 3\n{does}\n')
    (tmp_path / "systemd-creds").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "key").write_text("of another machine")
    findings = found(drop_in, f"LoadCredentialEncrypted=ip_api_key:{tmp_path / 'key'}")
    assert [finding.level for finding in findings] == ([level] if level else [])
    assert all("can't be decrypted here (No key.)" in finding.problem for finding in findings)
    assert found(drop_in, f"LoadCredential=ip_api_key:{tmp_path / 'key'}") == []


def test_a_pipe_and_what_is_too_large_are_faults(drop_in: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(LARGEST + 1)
    faults = found(drop_in, *(f"LoadCredential={name}:{tmp_path / name}" for name in ("pipe", "large")))
    assert [(finding.level, finding.problem.split(",")[0].split("(")[0].strip()) for finding in faults] == [
        (Level.FAULT, "is a pipe"),
        (Level.FAULT, "is larger than a credential may be"),
    ]


@pytest.mark.skipif(current().uid == 0, reason="root may read everything")
def test_a_file_that_can_not_be_read_is_a_fault(drop_in: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    (tmp_path / "key").chmod(0)
    (finding,) = found(drop_in, f"LoadCredential=k:{tmp_path / 'key'}")
    assert "can't be read by root (Permission denied)" in finding.problem


def test_a_file_whose_way_is_no_directory_is_a_fault(drop_in: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (finding,) = found(drop_in, f"LoadCredential=k:{tmp_path / 'file' / 'key'}")
    assert finding.level is Level.FAULT
    assert "Not a directory" in finding.problem


@pytest.mark.parametrize(
    ("kind", "place", "there"),
    [
        ("LoadCredential", "etc/credstore", True),
        ("LoadCredential", "usr/lib/credstore", True),
        ("LoadCredential", "run/credentials/@system", True),
        ("LoadCredential", "etc/credstore.encrypted", False),
        ("LoadCredential", "var/lib", False),
        ("LoadCredentialEncrypted", "etc/credstore.encrypted", True),
        ("LoadCredentialEncrypted", "run/credstore", True),
    ],
)
def test_one_without_a_path_is_one_of_the_systems(
    drop_in: Path, tmp_path: Path, kind: str, place: str, there: bool
) -> None:
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "stored").write_text("secret")
    findings = found(drop_in, f"{kind}=ip_api_key:stored")
    assert [finding.level for finding in findings] == ([] if there else [Level.WARNING])
    assert all("starts without this credential" in finding.problem for finding in findings)


# --- what is in them ---


def test_the_text_of_the_services_credential_is_read_where_systemd_would(
    drop_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = drop_in.parent.parent / "password"
    load(drop_in, f"LoadCredential=postgres_password:{secret}", "LoadCredential=of_the_system")
    monkeypatch.setattr(systemctl, "show", lambda *_: {"DropInPaths": str(drop_in)})
    assert credentials.load("postgres_password") is None  # there is no such file yet
    secret.write_text("s3kr3t\n")
    assert credentials.load("postgres_password") == "s3kr3t\n"
    assert credentials.load("of_the_system") is None
    assert credentials.load("another") is None
