"""The files in the state directory: ``state.toml`` (``history``) and ``unwritten.json`` (``unwritten_file``).

The web app's files are not here but in the store.
"""
