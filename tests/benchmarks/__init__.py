"""What bangeod costs, measured beside the plain way in the same run: ``python -m tests.benchmarks``."""
