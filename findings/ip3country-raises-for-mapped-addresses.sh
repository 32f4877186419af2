#!/bin/sh
# Expected: ip3country.lookupStr() answers None for what it does not know; it does for IPv6, for an empty text and for
#   "not an address".
# True: for an IPv4 address as a dual-stack socket reports it (::ffff:8.8.8.8) it raises ValueError from int(): any text
#   with three dots and a colon before the first. Its table of codes also holds three that are none: "**", "--", "/~".
# Seen: ip3country 0.4.0 (PyPI), on 2026-11-30.
# Source: the package itself.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check ip3country==0.4.0
v/bin/python - <<'PY'
import sys

from ip3country import CountryLookup

lookup = CountryLookup()
answers = {}
for text in ("8.8.8.8", "2001:4860:4860::8888", "", "not an address", "::ffff:8.8.8.8"):
    try:
        answers[text] = lookup.lookupStr(text)
    except ValueError as error:
        answers[text] = "ValueError"
        print("raised:", error)
odd = sorted(code for code in lookup.countryTable if not code.isalpha())
print(answers, odd)
sys.exit(list(answers.values()) != ["US", None, None, None, "ValueError"] or odd != ["**", "--", "/~"])
PY
