"""The client of the daemon's local API, for the web app: where addresses are, in one or two calls.

    geo = GeoClient()  # or AsyncGeoClient, whose methods are awaited
    geo.lookup("8.8.8.8").country_code

A lookup never raises and never takes long: where no daemon answers, its answer is an entry with the status
``unknown``. The process needs the right to open the socket, which the members of its group have.
"""

from bangeod.client.clients import AsyncGeoClient, GeoClient
from bangeod.client.protocol import DEFAULT_SOCKET, MOST_ADDRESSES, Entry, Status

__all__ = ["DEFAULT_SOCKET", "MOST_ADDRESSES", "AsyncGeoClient", "Entry", "GeoClient", "Status"]
