#!/bin/sh
# Expected: `fail2ban-client unban --all` lifts all bans, and after it the database holds none that is in force.
# True: it spares rows of jails that are no longer in the configuration. A permanent ban (bantime -1) of such a jail
#   stays in bips for ever: neither the purge nor any start takes it away, and no command of the client shows it.
# Seen: fail2ban 1.0.2-2 (Debian 12), on 2026-11-30.
# Source: the package itself (a real server).
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
jails() {
    for name; do printf '[%s]\nenabled=true\nbackend=polling\nfilter=addr\naction=nothing\nlogpath=%s/a.log\nbantime=-1\n' "$name" "$work"; done >conf/jail.local
}
jails kept gone; server; client set gone banip 7.7.7.7 >/dev/null; client set kept banip 8.8.8.8 >/dev/null; sleep 1.5; stop
jails kept; server; sleep 1; client unban --all >/dev/null; sleep 1
left=$(/usr/bin/python3 -c "import sqlite3; print(sqlite3.connect('f2b.sqlite3').execute('SELECT ip, jail, bantime FROM bips').fetchall())")
printf 'banned, says the client: %s\nrows of bips: %s\n' "$(client banned)" "$left"
[ "$left" = "[('7.7.7.7', 'gone', -1)]" ] && [ "$(client banned)" = "[{'kept': []}]" ]
