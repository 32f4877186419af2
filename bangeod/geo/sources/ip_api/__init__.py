"""ip-api.com's batch endpoint: when it may be asked, the request, and what the answer means.

``client`` does the I/O; ``limit`` and ``answer`` are pure. No module here knows the cache.
"""
