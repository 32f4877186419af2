"""The geo cache: which address is in which country and AS, and which entries still have to be written to the table.

``cache`` is what all others use. Beneath it: ``contents`` (all that memory holds, and how its parts work together),
``table`` (the entries, in ``shards`` and ``places``; ``hot_entries`` are those asked about lately), ``loading`` (of the
rows, with ``recent_changes`` since these were read), ``dirty`` (the dirty set), ``backoff`` (when to ask again),
``resolver`` (which source to ask), ``naming`` (one name for each country) and ``verification`` (after an MMDB has
changed). All of it belongs to the event loop. The cache knows sources and store only by their protocols.
"""
