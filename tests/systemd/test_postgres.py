"""The service on a PostgreSQL server of the same machine: by its socket as the unit is, and over TCP by a drop-in."""

from collections.abc import Iterator

import pytest

from tests.systemd.installed import INSTALL, SECONDS
from tests.systemd.machine import Machine
from tests.systemd.service import DROP_INS, SOURCE, Service

PORT = 5499  # not the usual one, which a server of the machine's own may have
FIND = "ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1"
SERVER = "postgres-of-the-tests"
# As Debian has it: the socket in /run/postgresql, and over that the system's user is the role (peer).
MAKE = """
install -d -m 700 -o postgres -g postgres /srv/postgres
setpriv --reuid postgres --regid postgres --init-groups --reset-env "$1/initdb" --no-sync \
    --auth-local=peer --auth-host=trust --username=postgres -D /srv/postgres/data
install -d -m 2775 -o postgres -g postgres /run/postgresql
systemd-run --quiet --unit="$3" --property=User=postgres "$1/postgres" -D /srv/postgres/data --port="$2" --fsync=off \
    --unix_socket_directories=/run/postgresql --listen_addresses=127.0.0.1
for try in $(seq 300); do
    setpriv --reuid postgres --regid postgres --init-groups "$1/psql" --quiet --host=/run/postgresql --port="$2" \
        --command="CREATE DATABASE bangui" --command="CREATE ROLE bangeod LOGIN" 2>/dev/null && break
    sleep 0.1
done
"""
RIGHTS = (
    "GRANT SELECT, INSERT, UPDATE, DELETE ON geo_cache TO bangeod; GRANT SELECT, UPDATE, DELETE ON sessions TO bangeod"
)


@pytest.fixture(scope="module")
def programs(machine: Machine) -> Iterator[str]:
    """Start a server on the machine, with BanGUI's database in it; give the folder of its programs."""
    found = machine.run("sh", "-c", FIND).stdout.strip()
    if not found:
        pytest.skip("PostgreSQL is not installed")
    machine.run(*INSTALL, "--postgres", timeout=SECONDS)
    machine.run("sh", "-ec", MAKE, "sh", found, str(PORT), SERVER, timeout=SECONDS)
    yield found
    machine.run("systemctl", "stop", SERVER)
    machine.run("rm", "-r", "/srv/postgres")


@pytest.fixture
def on_server(service: Service, programs: str) -> Iterator[Service]:
    """Give the service with both tables on the server, as the README has them made, and a session that has expired."""
    url = f"postgresql://postgres@:{PORT}/bangui"
    made = service.machine.run("/opt/bangeod/bin/bangeod", "init", "--database", url, user="postgres").stdout
    assert "Made table geo_cache and table sessions" in made
    psql(service, programs, RIGHTS, "INSERT INTO sessions (token, expires_at) VALUES ('old', '2001-01-01Z')")
    yield service
    service.stop()
    psql(service, programs, "DROP TABLE geo_cache, sessions")


def psql(service: Service, programs: str, *statements: str) -> str:
    """Run statements as the server's administrator; return what they print."""
    command = [f"{programs}/psql", "--quiet", "--tuples-only", "--host=/run/postgresql", f"--port={PORT}", "bangui"]
    told = service.machine.run(*command, *(f"--command={each}" for each in statements), user="postgres")
    return told.stdout.strip()


def test_by_the_socket_the_unit_needs_nothing_and_the_services_user_is_the_role(
    on_server: Service, programs: str
) -> None:
    on_server.configure({"database.url": f"postgresql://bangeod@:{PORT}/bangui"})
    on_server.start()
    on_server.wait_for("session_cleanup_ran", deleted_count="1")
    assert psql(on_server, programs, "SELECT count(*) FROM sessions") == "0"
    told = on_server.machine.run("/opt/bangeod/bin/bangeod", "check").stdout
    assert "lets the service do all that is needed" in told
    assert ", as role bangeod" in told
    assert "no faults, no warnings" in told


def test_over_tcp_check_names_the_drop_in_and_with_it_the_service_reaches_the_server(on_server: Service) -> None:
    on_server.configure({"database.url": f"postgresql://bangeod@127.0.0.1:{PORT}/bangui?sslmode=disable"})
    on_server.start()
    assert "postgres.conf" in str(on_server.wait_for("database_unavailable")["ADVICE"])
    told = on_server.machine.run("/opt/bangeod/bin/bangeod", "check", check=False).stdout
    assert "contrib/systemd/postgres.conf" in told
    on_server.stop()
    on_server.machine.run("install", "-D", "-m", "644", "-t", DROP_INS, f"{SOURCE}/contrib/systemd/postgres.conf")
    on_server.machine.run("systemctl", "daemon-reload")
    on_server.start()
    on_server.wait_for("session_cleanup_ran", deleted_count="1")
