"""The running process: two threads, the components and their wiring, schedule, signals, systemd, start and stop.

Begin with ``daemon``. Nothing below (jobs, api, geo, store) imports from here.
"""
