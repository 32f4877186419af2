"""The cache: which address is where, from memory, the table's rows or the sources; and what is still to be written.

``cache`` is what all others use. Beneath it: ``contents`` (all that is held in memory, and how it hangs together),
``table`` (the entries), ``dirty`` (the dirty set), ``backoff`` (when to ask again), ``resolver`` (whom to ask),
``naming`` (one name a country) and ``verification`` (after an MMDB has changed). It all belongs to the event loop. The
cache knows sources and store by their protocols alone.
"""
