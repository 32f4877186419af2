"""Downloading geo databases from their publishers: which, from where, how they are checked and installed."""
