"""A start on a large table: the daemon is ready, answers and works before all of it is in memory."""

from datetime import timedelta

import httpx

from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every, text

ROWS = 200_000
LAST = "223.1.2.3"  # inserted last, and so read last
OTHERWISE = "223.1.2.4"  # its row has another spelling, and no country
API = {"api.enabled": True}


def fill(place: Installation) -> None:
    day_before = text(timedelta(days=-2))
    place.insert(
        rows=((f"{130 + n // 65_536}.{n // 256 % 256}.{n % 256}.1", "US", day_before) for n in range(ROWS - 2))
    )
    place.insert(rows=[(f"::FFFF:{OTHERWISE}", None, day_before), (LAST, "DE", day_before)])


def test_a_daemon_that_is_ready_answers_from_rows_and_works_until_all_is_in_memory(
    launch: Start, place: Installation
) -> None:
    fill(place)
    place.configure(API, every("1h"))
    daemon = launch(place.config)
    daemon.wait_for("ready")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(place.socket)), base_url="http://localhost") as api:
        asked = api.post("/v1/lookup", json={"ips": [LAST], "mode": "cached", "origin": True})
        status = api.get("/v1/status").json()["cache"]
        api.get(f"/v1/lookup/{OTHERWISE}").raise_for_status()  # the embedded default knows it
        flush = api.post("/v1/jobs/geo_cache_flush/run").json()
        assert not daemon.lines("geo_cache_loaded"), "the table was in memory before all this was asked"
        (answer,) = asked.json()["entries"]
        assert (answer["country_code"], answer["origin"]) == ("DE", "database")
        assert (status["loaded"], status["progress"] < 1) == (False, True)
        assert flush["figures"] == {"flushed": 2}
        assert daemon.wait_for("geo_cache_loaded")["rows"] == ROWS
        status = api.get("/v1/status").json()["cache"]
        assert (status["loaded"], status["progress"], status["entries"]) == (True, None, ROWS)
    assert daemon.stop() == 0
    assert place.execute("SELECT count(*) FROM geo_cache") == [(ROWS,)]
    (country,) = place.execute(f"SELECT country_code FROM geo_cache WHERE ip = '::FFFF:{OTHERWISE}'")
    assert country != (None,)
