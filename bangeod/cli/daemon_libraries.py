"""The daemon's libraries, imported so that they bring along no more than it uses; to come before its own modules.

asyncio and aiohttp's server import OpenSSL, which takes some five megabytes, for TLS that nobody speaks on a Unix
socket. They support a Python that was built without the module ssl, and so do the modules of Python that they import.
So they meet such a Python here. Nobody is cut off from TLS by that: what has use for it, httpx on the way to ip-api.com
and prometheus_client, is imported later, with ssl as ever, and uses no part of asyncio's that is missing.

zoneinfo, which APScheduler imports, looks up where time zones are in a description of Python's build, half a megabyte
in memory, unless $PYTHONTZPATH says so. The daemon knows no zone but UTC.

If one of them does need more one day, it is imported as usual by the daemon's modules, and only the gain is lost.
"""

import importlib.util
import os
from contextlib import suppress
from typing import Final

from bangeod.cli.absent import absent

# What hashlib consists of without OpenSSL. Where a distribution has left it out, hashlib would complain.
_OWN_HASHES: Final = ("_md5", "_sha1", "_sha3", "_blake2")
_OPENSSL: Final = ("ssl", "_hashlib") if all(map(importlib.util.find_spec, _OWN_HASHES)) else ("ssl",)
# What offers less without OpenSSL, to whoever imports it later.
_MAIMED: Final = ("hashlib", "hmac", "http.client", "urllib.request")
_ZONES: Final = "PYTHONTZPATH"
_USUAL_ZONES: Final = "/usr/share/zoneinfo:/usr/lib/zoneinfo:/usr/share/lib/zoneinfo:/etc/zoneinfo"  # CPython's own

with suppress(ImportError), absent(*_OPENSSL, again=_MAIMED):
    import asyncio
    import secrets  # by hmac

    from bangeod.api import web

if _ZONES in os.environ:
    import zoneinfo
else:
    os.environ[_ZONES] = _USUAL_ZONES
    import zoneinfo

    del os.environ[_ZONES]  # other processes shall not hear of it

__all__ = ["asyncio", "secrets", "web", "zoneinfo"]
