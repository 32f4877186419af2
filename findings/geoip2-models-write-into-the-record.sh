#!/bin/sh
# Expected: geoip2.models.City(locales, **record) reads a record that an MMDB's reader returned, and leaves it alone.
# True: where the record has traits it writes the address and the length of the prefix into them, into the caller's own
#   dict. Whoever shows, compares or keeps the record afterwards has keys in it that no file has; a record without
#   traits, or with empty ones, is left alone, so a test with a small record does not find it.
# Seen: geoip2 5.3.0 (PyPI), on 2026-11-30.
# Source: the package itself, models.py, the constructor of Country.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check geoip2==5.3.0
v/bin/python - <<'PY'
import sys

from geoip2.models import City

left = []
for traits in ({"is_anycast": True}, {}):
    record = {"country": {"iso_code": "DE"}, "traits": dict(traits)}
    City(["en"], **record, ip_address="8.8.8.8", prefix_len=24)
    print(traits, "became", record["traits"])
    left.append(sorted(record["traits"]))
sys.exit(left != [["ip_address", "is_anycast", "prefix_len"], []])
PY
