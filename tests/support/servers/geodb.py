"""A strict stand-in for those who give geo databases away, on loopback: DB-IP's files and MaxMind's permalink.

It is one host of two, as MaxMind leads from its own to a store that must never see an account: ``/store`` counts
any credentials as an offence. It notes all that no decent client does.
"""

import asyncio
import base64
import gzip
import io
import tarfile
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

from tests.support.servers.loopback import LoopbackServer, Reply, Request, read_request, respond, until_hangup

ACCOUNT: Final = "123456"
KEY: Final = "Sesame_0pen_mmk"
NOVEMBER: Final = 1_793_664_000.0  # 2026-11-03, when its files were last changed
PERMALINK: Final = "/geoip/databases/GeoLite2-Country/download?suffix=tar.gz"


def packed(content: bytes) -> bytes:
    """Pack as DB-IP does."""
    return gzip.compress(content, compresslevel=1)


def tarred(members: Mapping[str, bytes]) -> bytes:
    """Pack as MaxMind does."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


class GeodbServer(LoopbackServer):
    """Listens while it is entered. ``files`` holds what it has, ``script`` replies that come first, both by path."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.modified = NOVEMBER
        self.tells_age = True  # sends Last-Modified
        self.heeds_age = True  # answers 304
        self.script: dict[str, Reply] = {}
        self.requests: list[Request] = []
        self.offences: list[str] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[str]:
        """Return the paths that were asked for."""
        return [request.target for request in self.requests]

    def give_dbip(self, content: bytes, month: str = "2026-11", name: str = "dbip-country-lite") -> str:
        """Put a month's file up; return its path."""
        path = f"/free/{name}-{month}.mmdb.gz"
        self.files[path] = content
        return path

    def give_maxmind(self, content: bytes) -> None:
        """Put the latest edition up, where the permalink leads: to a host of another name."""
        self.files["/store/GeoLite2-Country.tar.gz?signature=abc"] = content

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        self.requests.append(request)
        reply = self._judge(request)
        await until_hangup(asyncio.create_task(reply(request, writer)), reader)

    def _judge(self, request: Request) -> Reply:
        if request.method != "GET" or request.body:
            self.offences.append(f"{request.method} with {len(request.body)} bytes")
        if not request.headers.get("user-agent", "").startswith("bangeod/"):
            self.offences.append("does not say who it is")
        if request.headers.get("accept-encoding") != "identity":
            self.offences.append("wants what is packed to be packed again")
        if request.target in self.script:
            return self.script[request.target]
        if request.target == PERMALINK:
            return self._permalink(request)
        if "authorization" in request.headers:
            self.offences.append(f"credentials to {request.target}")
        return self._file(request)

    def _permalink(self, request: Request) -> Reply:
        wanted = base64.b64encode(f"{ACCOUNT}:{KEY}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {wanted}":
            return respond(401, {}, b'{"code":"LICENSE_KEY_INVALID"}')
        return respond(302, {"Location": f"http://localhost:{self.port}/store/GeoLite2-Country.tar.gz?signature=abc"})

    def _file(self, request: Request) -> Reply:
        content = self.files.get(request.target)
        if content is None:
            return respond(404, {}, b"<html>not found</html>")
        since = request.headers.get("if-modified-since")
        if self.heeds_age and since and self.modified <= parsedate_to_datetime(since).timestamp():
            return respond(304)
        age = {"Last-Modified": formatdate(self.modified, usegmt=True)} if self.tells_age else {}
        return respond(200, age, content)
