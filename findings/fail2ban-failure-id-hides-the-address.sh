#!/bin/sh
# Expected: bips.ip is an IP address (or a network): the column is named so, and so is the key of what a ban is for.
# True: with <F-ID> in a jail's failregex it is whatever the expression matched: a user's name, say. The address that
#   the client came from is only inside `data`, a BLOB of JSON, under "ip4" or "ip6".
# Seen: fail2ban 1.0.2-2 (Debian 12), on 2026-11-30.
# Source: the package itself (a real server); jail.conf(5), <F-ID>.
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
printf '[Definition]\nfailregex = ^ bad user <F-ID>\\S+</F-ID> from <ADDR>$\n' >conf/filter.d/user.conf
printf '[one]\nenabled=true\nbackend=polling\nfilter=user\naction=nothing\nlogpath=%s/a.log\nmaxretry=1\n' "$work" >conf/jail.local
server; sleep 1
for _ in 1 2; do echo "$(date '+%Y-%m-%d %H:%M:%S') bad user mallory from 7.7.7.7"; done >>a.log
sleep 4
/usr/bin/python3 - <<'PY'
import json
import sqlite3
import sys

rows = sqlite3.connect("f2b.sqlite3").execute("SELECT ip, typeof(data), CAST(data AS TEXT) FROM bips").fetchall()
print(rows)
keys = json.loads(rows[0][2]) if rows else {}
sys.exit(not (rows and rows[0][:2] == ("mallory", "blob") and "7.7.7.7" in (keys.get("ip4"), keys.get("ip"))))
PY
