#!/bin/sh
# Expected: asyncio.timeout(0.2) around a statement of psycopg's AsyncConnection ends after some 0.2 s, whatever the
#   server does, as it does around other coroutines.
# True: a cancelled task first asks the server to cancel the statement, and waits up to 5 s for that, and then up to 5 s
#   more for the statement's end. With a server that has stopped answering (frozen, or behind a link that is gone) the
#   block lasts 5 to 10 s. A deadline has to leave the statement running beside it: asyncio.wait(), and no cancel.
# Seen: psycopg 3.3.9 (PyPI) with psycopg-binary, PostgreSQL of Debian's package, on 2026-12-01.
# Source: github.com/psycopg/psycopg: psycopg/connection_async.py, AsyncConnection.wait. Needs Debian's postgresql.
set -eu
work=$(mktemp -d); trap 'kill -CONT $backend 2>/dev/null || true; kill -QUIT $server 2>/dev/null || true; wait; rm -rf "$work"' EXIT
server= backend=
cd "$work"
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check psycopg-binary==3.3.9 psycopg==3.3.9
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
as=
if [ "$(id -u)" = 0 ]; then as="setpriv --reuid=nobody --regid=nogroup --clear-groups"; fi
mkdir pg && chmod 755 "$work" && { [ -z "$as" ] || chown nobody:nogroup pg; }
$as "$bin/initdb" --no-sync --auth=trust --username=postgres -D pg/data >/dev/null
$as "$bin/postgres" -D pg/data -c listen_addresses= -c unix_socket_directories="$work/pg" >/dev/null 2>&1 &
server=$!
until v/bin/python -c "import psycopg; psycopg.connect('host=$work/pg user=postgres dbname=postgres')" 2>/dev/null; do sleep 0.2; done
cat >seen.py <<'PY'
import asyncio, os, signal, sys, time
import psycopg

async def main(directory: str) -> None:
    connection = await psycopg.AsyncConnection.connect(f"host={directory} user=postgres dbname=postgres")
    server, backend = int(sys.argv[2]), connection.info.backend_pid
    for process in (server, backend):  # as a server that is frozen
        os.kill(process, signal.SIGSTOP)
    began = time.monotonic()
    try:
        async with asyncio.timeout(0.2):
            await connection.execute("SELECT 1")
    except TimeoutError:
        pass
    took = time.monotonic() - began
    for process in (server, backend):
        os.kill(process, signal.SIGCONT)
    print(f"asyncio.timeout(0.2) around a statement lasted {took:.1f} s; psycopg {psycopg.__version__}")
    assert took > 3

asyncio.run(main(sys.argv[1]))
PY
v/bin/python seen.py "$work/pg" "$server"
