"""The running process: the main thread and the loop's, the components, schedule, signals, systemd, start and stop.

Begin with ``daemon``. Nothing below (jobs, api, geo, store) imports from here.
"""
