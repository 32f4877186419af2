"""The client of the daemon's local API, for the web app: returns where addresses are, in one or two calls.

    geo = GeoClient()  # or AsyncGeoClient, whose methods are awaited
    geo.lookup("8.8.8.8").country_code

A lookup never raises and never takes long: if no daemon answers, it returns an entry with the status ``unknown``. The
process needs the right to open the socket; members of the socket's group have it.
"""

from bangeod.client.clients import AsyncGeoClient, GeoClient
from bangeod.client.protocol import DEFAULT_SOCKET, MOST_ADDRESSES, Entry, Status

__all__ = ["DEFAULT_SOCKET", "MOST_ADDRESSES", "AsyncGeoClient", "Entry", "GeoClient", "Status"]
