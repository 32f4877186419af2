"""The local API: HTTP on a Unix socket, through which the web app's workers and the commands use the daemon.

``routes`` lists the requests, ``messages`` defines the bodies, ``handlers`` does the work through the protocol in
``backend``: nothing here knows the daemon, SQLite or a source. ``daemon_state`` defines the state of the daemon;
``status_document`` and ``metrics`` are views of it, as are the status line (service) and the screen (cli).
"""
