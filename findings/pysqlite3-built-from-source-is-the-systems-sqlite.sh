#!/bin/sh
# Expected: `pip install pysqlite3` brings a newer SQLite than the system's, as its wheels do, on every machine.
# True: without a wheel (any machine but x86-64, Python 3.15 and newer) pip builds it from its source, for which it needs
#   a C compiler and SQLite's headers, and what that makes is linked with the system's libsqlite3: the version is the
#   system's, and so are its bugs. Nothing says so.
# Seen: pysqlite3 0.6.1 (PyPI), Debian 12 with libsqlite3-dev 3.40.1-2+deb12u2, on 2026-11-30.
# Source: its setup.py, which looks for an amalgamation (sqlite3.c) beside itself, and the source package has none.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check --no-binary pysqlite3 pysqlite3==0.6.1
built=$(v/bin/python -c 'from pysqlite3 import dbapi2; print(dbapi2.sqlite_version)')
system=$(v/bin/python -c 'import ctypes; f = ctypes.CDLL("libsqlite3.so.0").sqlite3_libversion; f.restype = ctypes.c_char_p; print(f().decode())')
printf 'built: %s, the system has %s\n' "$built" "$system"
[ "$built" = "$system" ]
