"""A PostgreSQL server over TCP: it has to prove who it is, unless the url says otherwise, and check warns then."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.daemon.check_command import BAD, GOOD, check, only, wrong
from tests.support.daemon.installation import Installation
from tests.support.daemon.on_server import ROLE, own_server_or_skip
from tests.support.daemon.process import bangeod
from tests.support.servers import postgres
from tests.support.servers.postgres import PostgresServer

ADDRESS, ANOTHER, NOBODYS = "127.0.0.71", "127.0.0.72", "127.0.0.73"  # of this machine alone
DATABASE = "bangui"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for ADDRESS, which signs itself, with its key beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    file = tmp_path_factory.mktemp("tls") / "server.crt"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=db.example", "-addext", f"subjectAltName=IP:{ADDRESS}"]
    made = [*command, "-keyout", str(file.with_suffix(".key")), "-out", str(file)]
    subprocess.run(made, check=True, capture_output=True)
    return file


@pytest.fixture(scope="module")
def server(certificate: Path) -> Iterator[PostgresServer]:
    """Give a server over TCP, with TLS and both tables."""
    server = own_server_or_skip()
    try:
        server.make()
        data = server.home / "data"
        for file in (certificate, certificate.with_suffix(".key")):
            copy = Path(shutil.copy(file, data))
            shutil.chown(copy, data.owner(), data.group())
            copy.chmod(0o600)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 127.0.0.0/8 trust\n")
        server.start(listen_addresses=f"{ADDRESS},{ANOTHER}", ssl="on")
        with closing(server.connect()) as admin:
            admin.execute(f"CREATE DATABASE {DATABASE} STRATEGY file_copy")
            admin.execute(f"CREATE ROLE {ROLE} LOGIN")
        made = bangeod("init", "--database", f"postgresql://{postgres.SUPERUSER}@/{DATABASE}?host={server.home}")
        assert made.returncode == 0, made.stderr
        with closing(server.connect(DATABASE)) as admin:
            admin.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON geo_cache, sessions TO {ROLE}")
        yield server
    finally:
        server.end()


@pytest.fixture
def place(tmp_path: Path, server: PostgresServer) -> Installation:
    place = Installation(tmp_path / "bangeod")
    place.state.mkdir(parents=True)
    return place


def reached_by(place: Installation, hosts: str, *parameters: str) -> Installation:
    url = f"postgresql://{ROLE}@{hosts}/{DATABASE}" + (f"?{'&'.join(parameters)}" if parameters else "")
    place.configure({"database.path": "", "database.url": url})
    return place


def test_a_server_whose_certificate_is_right_is_trusted(place: Installation, certificate: Path) -> None:
    assert wrong(check(reached_by(place, ADDRESS, f"sslrootcert={certificate}"), status=GOOD)) == []


@pytest.mark.parametrize("host", [ADDRESS, ANOTHER])
def test_one_that_proves_nothing_or_that_it_is_another_is_not(
    place: Installation, certificate: Path, host: str
) -> None:
    named = () if host == ADDRESS else (f"sslrootcert={certificate}",)
    finding = only(check(reached_by(place, host, *named), status=BAD), "database")
    assert finding["problem"].startswith("TLS can't be used: ")


@pytest.mark.parametrize("mode", ["require", "prefer", "disable"])
def test_what_the_url_says_of_tls_is_done_with_a_warning(place: Installation, mode: str) -> None:
    finding = only(check(reached_by(place, ANOTHER, f"sslmode={mode}"), status=GOOD), "database", "warning")
    assert f"sslmode={mode}: whoever is on the way" in finding["problem"]


def test_of_several_servers_one_that_answers_is_enough(place: Installation, certificate: Path) -> None:
    assert wrong(check(reached_by(place, f"{NOBODYS},{ADDRESS}", f"sslrootcert={certificate}"), status=GOOD)) == []
