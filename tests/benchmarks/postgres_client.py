"""A client of a PostgreSQL server that updates a random row of geo_cache every 5 ms, until its standard input ends.

Its argument is libpq's conninfo. It says that it is ready by a line, and at the end how long each update took, in
seconds, as JSON.
"""

import json
import random
import select
import sys
import time
from typing import Final

import psycopg

EVERY: Final = 0.005  # seconds
REFRESH: Final = "UPDATE geo_cache SET last_seen = %s WHERE ip = %s"


def main(conninfo: str, seen: str) -> None:
    """Refresh rows until nobody listens any more."""
    chance = random.Random(5)
    took: list[float] = []
    with psycopg.connect(conninfo, autocommit=True) as connection:
        ips = [ip for (ip,) in connection.execute("SELECT ip FROM geo_cache").fetchall()]
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], EVERY)[0]:
            ip = chance.choice(ips)
            began = time.perf_counter()
            connection.execute(REFRESH, (seen, ip))
            took.append(time.perf_counter() - began)
    print(json.dumps(took))


if __name__ == "__main__":
    main(*sys.argv[1:])
