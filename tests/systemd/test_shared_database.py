"""One database in WAL mode, two users: the service and the web app."""

import json
import time

from tests.systemd.service import DATABASE, STATE, Service

EXPIRED = "INSERT INTO sessions (token, expires_at) VALUES (?, '2001-01-01T00:00:00Z')"
MANY = 100_000  # entries, as many as may wait to be written


def test_what_the_service_makes_beside_it_the_web_app_can_write(service: Service) -> None:
    service.configure({"jobs.session_cleanup.interval": "1s"})
    service.start()
    service.wait_for("session_cleanup_ran")
    made = service.machine.run("stat", "--format=%U:%G %a", f"{DATABASE}-wal", f"{DATABASE}-shm").stdout
    assert made == "bangeod:bangui 660\n" * 2
    service.execute(EXPIRED, ("old",))
    service.wait_for("session_cleanup_ran", deleted_count="1")
    assert service.execute("SELECT * FROM sessions") == []


def test_what_the_web_app_makes_beside_it_the_service_can_write(service: Service) -> None:
    service.execute(EXPIRED, ("old",))
    service.configure({"jobs.session_cleanup.interval": "1s"})
    with service.locked():
        made = service.machine.run("stat", "--format=%U:%G %a", f"{DATABASE}-wal", f"{DATABASE}-shm").stdout
        assert made == "bangui:bangui 660\n" * 2
        service.start()
    service.wait_for("session_cleanup_ran", deleted_count="1")
    service.stop()
    assert service.execute("PRAGMA integrity_check") == [["ok"]]


def test_a_stop_writes_all_that_waits(service: Service) -> None:
    now = int(time.time())
    entries = [
        {"ip": f"{110 + n // 65_536}.{n // 256 % 256}.{n % 256}.1", "country_code": "SE", "last_seen": now}
        | {"resolved_at": now}
        for n in range(MANY)
    ]
    service.make_state("unwritten.json", json.dumps({"entries": entries}))
    service.configure({"jobs.geo_cache_flush.enabled": False})
    service.drop_in("TimeoutStopSec=1s")  # more of it is asked for while it goes on (EXTEND_TIMEOUT_USEC)
    service.start()
    service.wait_for_status("3 jobs, 100,000 cached, 100,000 to write")
    service.stop()
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")
    assert service.execute("SELECT count(*) FROM geo_cache WHERE country_code = 'SE'") == [[MANY]]
    assert not service.machine.exists(f"{STATE}/unwritten.json")
