"""When jobs run: pure policy (``timing``), APScheduler (``scheduler``), and the jobs on it (``job_schedule``)."""
