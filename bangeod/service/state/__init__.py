"""The files in the state directory: ``state.toml`` (``history``) and ``unwritten.json`` (``unwritten_file``).

What of ``state.toml`` may wait to be written is in ``saving``. The web app's files are not here but in the store.
"""
