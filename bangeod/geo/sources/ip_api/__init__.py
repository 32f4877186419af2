"""ip-api.com's batch endpoint: when it may be asked, the request, and what the answer means.

``client`` is the source, ``transport`` sends its requests, with httpx, and ``reply`` is what came; ``limit`` (when) and
``answer`` (what it means) are pure; ``turns`` is what hosts of a fleet settle with each other. No module here knows the
cache.
"""
