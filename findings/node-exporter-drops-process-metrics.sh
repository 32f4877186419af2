#!/bin/bash
# Expected: what is in a file of node_exporter's textfile collector is in its answer, or node_textfile_scrape_error is 1.
# True: process_* of the file are dropped in favour of node_exporter's own figures of the same names; the rest of the
#   file is there, the answer has status 200, and node_textfile_scrape_error is 0. Only its own log says, at each scrape,
#   that the texts of HELP differ. So process_cpu_seconds_total of a daemon's file is in truth node_exporter's.
# Seen: prometheus-node-exporter 1.5.0-1+b6 (Debian 12), on 2026-11-30; it listens on 127.0.0.1:19177 here.
# Source: the program itself.
set -eu
work=$(mktemp -d); pid=; trap '[ -z "$pid" ] || kill "$pid"; rm -rf "$work"' EXIT; cd "$work"
apt-get -qq download prometheus-node-exporter=1.5.0-1+b6 2>/dev/null
dpkg -x prometheus-node-exporter_*.deb x
mkdir texts
printf 'process_start_time_seconds 77\nbangeod_up 1\n' > texts/b.prom
x/usr/bin/prometheus-node-exporter --web.listen-address=127.0.0.1:19177 --collector.disable-defaults \
  --collector.textfile --collector.textfile.directory=texts 2> log & pid=$!
for _ in $(seq 50); do grep -q 'Listening on' log && break; sleep 0.1; done
python3 - <<'PY'
import sys
from urllib.request import urlopen

with urlopen("http://127.0.0.1:19177/metrics") as answer:
    lines = answer.read().decode().splitlines()
status = answer.status
found = dict(line.split() for line in lines if line.startswith(("process_start", "bangeod_up", "node_textfile_scrape")))
print(status, found)
good = (status, found["bangeod_up"], found["node_textfile_scrape_error"]) == (200, "1", "0")
sys.exit(not good or float(found["process_start_time_seconds"]) == 77)
PY
grep -c 'but should have' log
