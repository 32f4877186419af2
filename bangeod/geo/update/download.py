"""The download itself: one conditional GET, redirects followed without the credentials, its size bounded."""

import os
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Final, NamedTuple, Protocol

import httpx

from bangeod import __version__
from bangeod.geo.update import answers
from bangeod.geo.update.answers import Advice, UpdateError
from bangeod.geo.update.releases import Database

MAX_BYTES: Final = 64 << 20  # packed; the databases have some 10 MiB
SILENCE: Final = 30.0  # seconds without any data before giving up

Progress = Callable[[int, int | None], None]  # bytes so far, and in total if known


class Credentials(NamedTuple):
    """An account with a provider. No repr shows the key."""

    account: str
    key: str

    def __repr__(self) -> str:
        return f"Credentials({self.account!r}, …)"


class Request(NamedTuple):
    """What to ask for."""

    source: Database
    url: str
    since: float | None = None  # epoch seconds of the existing file; None to fetch unconditionally
    credentials: Credentials | None = None


class Reply(NamedTuple):
    """The result of a request: ``verdict`` is TAKE, UNCHANGED or NOT_THERE."""

    verdict: Advice
    host: str  # the server that answered
    last_modified: float | None = None  # epoch seconds


class Target(Protocol):
    """Where the bytes are written."""

    def write(self, data: bytes) -> None:
        """Write all of ``data``. Raises OSError."""


def make_client(silence: float = SILENCE) -> httpx.AsyncClient:
    """Make a client that uses the proxies and certificates that the environment names. Raises UpdateError."""
    try:
        return httpx.AsyncClient(trust_env=True, follow_redirects=False, timeout=silence)
    except (ValueError, ImportError, OSError):  # their text would show the proxy's password
        problem = "can't be used: give http://HOST:PORT in https_proxy, and a file that is there in SSL_CERT_FILE"
    raise UpdateError("the proxy or the certificates that the environment names", problem)


async def download(client: httpx.AsyncClient, request: Request, target: Target, on_progress: Progress) -> Reply:
    """Ask for a file and write it to ``target``. Raises UpdateError, and OSError where ``target`` can't be written.

    No error contains credentials, nor a URL, which may hold a signature.
    """
    url = httpx.URL(request.url)
    host = url.host
    try:
        for hop in range(answers.MAX_REDIRECTS + 1):
            credentials = None if hop else request.credentials  # only for the host that they were given for
            found = await _get(client, request, url, target, on_progress, credentials=credentials)
            if isinstance(found, Reply):
                return found._replace(host=host)
            url = found
        problem = f"{host} sends from one address to the next without end: try again later"
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        problem = _explain(error, url)  # raised below: the error holds the request, and that the key
    raise UpdateError(request.source.name, problem)


async def _get(
    client: httpx.AsyncClient,
    request: Request,
    url: httpx.URL,
    target: Target,
    on_progress: Progress,
    *,
    credentials: Credentials | None,
) -> Reply | httpx.URL:
    """Send one request; returns its result, or the URL that it redirects to."""
    auth = httpx.BasicAuth(*credentials) if credentials else None
    async with client.stream("GET", url, headers=_headers(request.since), auth=auth) as response:
        last_modified = answers.parse_time(response.headers.get("last-modified"))
        verdict = answers.judge(response.status_code, last_modified, request.since)
        if verdict is Advice.FOLLOW:
            return _follow(request.source, url, response.headers.get("location"))
        if verdict is Advice.GIVE_UP:
            problem = answers.explain(response.status_code, url.host, to_account=credentials is not None)
            raise UpdateError(request.source.name, problem)
        if verdict is Advice.TAKE:
            await _take(response, request.source, target, on_progress)
        return Reply(verdict, url.host, last_modified)


def _headers(since: float | None) -> dict[str, str]:
    headers = {
        "Accept": "*/*",
        "Accept-Encoding": "identity",  # the file is packed already
        "User-Agent": f"bangeod/{__version__}",
    }
    return headers if since is None else headers | {"If-Modified-Since": formatdate(since, usegmt=True)}


def _follow(source: Database, url: httpx.URL, location: str | None) -> httpx.URL:
    if not location:
        raise UpdateError(source.name, f"{url.host} sends to another address, and does not say which: try again later")
    target = url.join(location)
    if target.scheme not in ("http", "https") or (url.scheme == "https" and target.scheme == "http"):
        raise UpdateError(source.name, f"{url.host} sends to an address without encryption: not followed")
    return target.copy_with(username=None, password=None) if target.userinfo else target


async def _take(response: httpx.Response, source: Database, target: Target, on_progress: Progress) -> None:
    length = response.headers.get("content-length", "")
    total = int(length) if length.isascii() and length.isdigit() else None
    if total is not None and total > MAX_BYTES:
        raise _too_large(source, response.url.host)
    done = 0
    on_progress(done, total)
    async for chunk in response.aiter_raw():
        done += len(chunk)
        if done > MAX_BYTES:
            raise _too_large(source, response.url.host)
        target.write(chunk)
        on_progress(done, total)


def _too_large(source: Database, host: str) -> UpdateError:
    problem = f"{host} sends more than {MAX_BYTES >> 20} MiB: that is no database of this kind; try again later"
    return UpdateError(source.name, problem)


def _explain(error: Exception, url: httpx.URL) -> str:
    """Say what went wrong with the connection. Of foreign error texts, only the operating system's are shown."""
    causes = list(_causes(error))
    reason = next((_reason(cause) for cause in causes if isinstance(cause, OSError) and cause.strerror), "")
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return (
            f"the certificate of {url.host} can't be trusted: see whether the clock is right (timedatectl); behind a "
            "proxy that opens encrypted connections, name its certificate in SSL_CERT_FILE"
        )
    if isinstance(error, httpx.ProxyError):
        return "the proxy that the environment names lets nothing through: see to https_proxy, or unset it"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return _explain_unreachable(url, reason)
    if isinstance(error, httpx.TimeoutException):
        return f"{url.host} stopped sending: try again later"
    return f"the connection to {url.host} broke off ({reason or type(error).__name__}): try again later"


def _explain_unreachable(url: httpx.URL, reason: str) -> str:
    reason = f" ({reason})" if reason else ""
    if url.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(url.host):
        return f"the proxy that the environment names can't be reached{reason}: see to {url.scheme}_proxy, or unset it"
    return (
        f"{url.host} can't be reached{reason}: see to the network and its name server; behind a proxy, set https_proxy"
    )


def _reason(error: OSError) -> str:
    """Name the error; asyncio's text also has the address, and a name server's errors have their own numbers."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that caused it."""
    link: BaseException | None = error
    while link is not None:
        yield link
        if isinstance(link, BaseExceptionGroup):
            for part in link.exceptions:
                yield from _causes(part)
        link = link.__cause__ or link.__context__
