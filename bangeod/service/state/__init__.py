"""What bangeod keeps in its state directory: ``state.toml`` (``history``) and ``unwritten.json`` (``unwritten``).

Nothing here that the web app owns; that is the store's.
"""
