"""Where an address is: the model, the cache, and the sources that know."""
