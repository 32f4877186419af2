"""Where an address is: the cache, the sources, and the download of geo databases from their publishers."""
