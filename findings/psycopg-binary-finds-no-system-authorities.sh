#!/bin/sh
# Expected: with psycopg's own libraries (psycopg[binary]), sslrootcert=system in a PostgreSQL url trusts the authorities
#   that the operating system trusts, as libpq's documentation says: those of OpenSSL's default places.
# True: the OpenSSL that comes in the wheel was built for a directory that no distribution has, so it knows no authority
#   at all, and no server's certificate can be verified. Debian's own libpq and Python's ssl look in /etc/ssl, or
#   /usr/lib/ssl that leads there. sslrootcert=/etc/ssl/certs/ca-certificates.crt, or SSL_CERT_FILE with that, helps.
# Seen: psycopg-binary 3.3.9 (PyPI) on x86-64, its libcrypto, on 2026-12-01.
# Source: postgresql.org/docs/current/libpq-ssl.html ("system"), docs.openssl.org: OpenSSL_version(3), OPENSSL_DIR.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check psycopg-binary==3.3.9 psycopg==3.3.9
v/bin/python - <<'PY'
import ctypes
import pathlib
import ssl
import sysconfig

import psycopg

assert psycopg.pq.__impl__ == "binary"
(path,) = pathlib.Path(sysconfig.get_path("platlib"), "psycopg_binary.libs").glob("libcrypto*")
library = ctypes.CDLL(str(path))
library.OpenSSL_version.restype = ctypes.c_char_p
library.X509_get_default_cert_file.restype = library.X509_get_default_cert_dir.restype = ctypes.c_char_p
places = [library.X509_get_default_cert_file().decode(), library.X509_get_default_cert_dir().decode()]
print("the wheel:", library.OpenSSL_version(0).decode(), library.OpenSSL_version(4).decode())
print("looks in:", places, "there:", [pathlib.Path(place).exists() for place in places])
own = ssl.get_default_verify_paths()
print("Python's own ssl looks in:", [own.openssl_cafile, own.openssl_capath])
assert not any(pathlib.Path(place).exists() for place in places)
assert all(place.startswith("/usr/lib/psycopg-openssl") for place in places)
PY
