"""The periodic jobs, one file each, and what they have in common."""
