"""The running process: two threads, the components and what wires them, schedule, signals, systemd, start and stop.

``daemon`` is the place to begin. Nothing below (jobs, api, geo, store) imports from here.
"""
