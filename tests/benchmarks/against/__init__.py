"""The working tree's build beside a commit's, as whoever uses bangeod sees both: ``--against COMMIT``.

Both are installed (builds) and measured in turns (turns), each time in a daemon and on a database of its own
(measured_daemon, trial): by the command line, by the API over its socket, by what others notice that have the database
open, and by /proc. Nothing of bangeod's is imported to be measured: its modules have other names in other builds.
What may be said of the figures is comparison's; each of the other modules is one trial, or two on one subject.
"""
