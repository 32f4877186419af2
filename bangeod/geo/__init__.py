"""Where an address is: the cache, the sources that know, and the geo databases fetched from those who make them."""
