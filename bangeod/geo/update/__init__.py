"""Geo databases fetched from those who make them: which, from where, how they are checked and put in place."""
