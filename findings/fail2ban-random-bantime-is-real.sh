#!/bin/sh
# Expected: bans.bantime and bips.bantime are declared INTEGER and hold whole seconds.
# True: with `bantime.increment` and `bantime.rndtime` they hold a REAL from an address's second ban on: SQLite keeps
#   a fraction in an INTEGER column.
# Seen: fail2ban 1.0.2-2 (Debian 12), on 2026-11-30.
# Source: the package itself (a real server); jail.conf(5), bantime.rndtime.
set -eu
work=$(mktemp -d); pid=
stop() { [ -z "$pid" ] || { client stop >/dev/null 2>&1 || kill "$pid"; wait "$pid" || true; pid=; }; }
trap 'stop; rm -rf "$work"' EXIT; cd "$work"
apt-get -qq download fail2ban=1.0.2-2 2>/dev/null && dpkg -x fail2ban_*.deb f
export PYTHONPATH="$work/f/usr/lib/python3/dist-packages"
client() { /usr/bin/python3 f/usr/bin/fail2ban-client -c conf "$@"; }
server() { /usr/bin/python3 f/usr/bin/fail2ban-server -xf -c conf start >out 2>&1 & pid=$!
  for _ in $(seq 100); do client ping >/dev/null 2>&1 && return; sleep 0.1; done; cat out; exit 2; }
cp -r f/etc/fail2ban conf; rm -f conf/jail.d/*; touch a.log
printf '[DEFAULT]\nlogtarget=%s/log\nsocket=%s/s\npidfile=%s/p\ndbfile=%s/f2b.sqlite3\n' "$work" "$work" "$work" "$work" >conf/fail2ban.local
printf '[Definition]\nactionban = true\nactionunban = true\n' >conf/action.d/nothing.conf
printf '[Definition]\nfailregex = ^ bad <HOST>$\n' >conf/filter.d/addr.conf
printf '[one]\nenabled=true\nbackend=polling\nfilter=addr\naction=nothing\nlogpath=%s/a.log\nmaxretry=1\nbantime=2\nbantime.increment=true\nbantime.rndtime=600\n' "$work" >conf/jail.local
server; sleep 1
for _ in 1 2; do  # the second ban of an address is the first that is lengthened, and by a random time
    for host in 7.7.7.1 7.7.7.2 7.7.7.3; do echo "$(date '+%Y-%m-%d %H:%M:%S') bad $host"; done >>a.log
    sleep 6
done
/usr/bin/python3 - <<'PY'
import sqlite3
import sys

connection = sqlite3.connect("f2b.sqlite3")
kinds = {}
for table in ("bips", "bans"):
    rows = connection.execute(f"SELECT ip, bantime, typeof(bantime) FROM {table}").fetchall()
    declared = [row[2] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] == "bantime"]
    print(table, "declares", declared, rows)
    kinds[table] = {row[2] for row in rows}
sys.exit(any("real" not in kind for kind in kinds.values()))
PY
