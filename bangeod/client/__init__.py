"""The client of the daemon's local API, for the web app: returns where addresses are, in one or two calls.

    geo = GeoClient()  # or AsyncGeoClient, whose methods are awaited
    geo.lookup("8.8.8.8").country_code

A lookup never raises and never takes long: if no daemon answers, it returns an entry with the status ``unknown``. The
process needs the right to open the socket; members of the socket's group have it.

``clients`` are the web app's two and ``command_client`` is that of the commands. ``protocol`` is what they share,
``connecting`` the way to the socket, and ``blocking`` what clients without async offer.
"""

from typing import TYPE_CHECKING, Any

from bangeod.client.protocol import DEFAULT_SOCKET, MOST_ADDRESSES, Entry, Status

if TYPE_CHECKING:
    from bangeod.client.clients import AsyncGeoClient, GeoClient
else:

    def __getattr__(name: str) -> Any:
        """Import what is based on httpx when it is asked for: bangeod's commands do without."""
        if name not in ("AsyncGeoClient", "GeoClient"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from bangeod.client import clients  # noqa: PLC0415 - as above

        return getattr(clients, name)


__all__ = ["DEFAULT_SOCKET", "MOST_ADDRESSES", "AsyncGeoClient", "Entry", "GeoClient", "Status"]
