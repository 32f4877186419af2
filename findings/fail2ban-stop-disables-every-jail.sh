#!/bin/sh
# Expected: what fail2ban's database says of jails.enabled tells which jails the configuration has enabled: 1 for a jail
#   in use, 0 for one that was taken out.
# True: a normal stop of the server sets it to 0 for every jail, so that a database at rest has none enabled, although
#   all its bans are restored at the next start.
# Seen: fail2ban 1.0.2-2 (Debian 12), on 2026-11-30.
# Source: the package itself (a real server, a real stop).
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
for name in one two; do
    printf '[%s]\nenabled=true\nbackend=polling\nfilter=addr\naction=nothing\nlogpath=%s/a.log\nbantime=-1\n' $name "$work"
done >conf/jail.local
jails() { /usr/bin/python3 -c "import sqlite3; print(sqlite3.connect('f2b.sqlite3').execute('SELECT name, enabled FROM jails ORDER BY name').fetchall())"; }
server; client set one banip 7.7.7.7 >/dev/null; sleep 1.5
running=$(jails); stop; stopped=$(jails)
server; sleep 1; again=$(client banned)
printf 'running: %s\nstopped: %s\nafter the next start banned: %s\n' "$running" "$stopped" "$again"
[ "$running" = "[('one', 1), ('two', 1)]" ] && [ "$stopped" = "[('one', 0), ('two', 0)]" ]
case $again in *7.7.7.7*) ;; *) exit 1 ;; esac
