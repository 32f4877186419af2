"""The running process: the main thread and the loop's, the components, schedule, signals, systemd, start and stop.

Begin with ``daemon``. ``components`` makes store, sources and cache; ``served_database``, ``active_sources`` and
``verifier`` keep them up to date, ``settings_in_force`` and ``config_change`` say with which settings. ``job_runs`` and
schedule/ run the jobs. ``state_report`` and ``status_line`` say how things stand, ``local_api`` and ``explain`` serve
the API, ``systemd`` speaks sd_notify. ``signals``, ``final_flush``, ``unwritten_entries`` and ``crash`` are the end.
Nothing below (jobs, api, geo, store) imports from here.
"""
