"""The daemon under test: installed, started, watched, told what to do, and ended."""
