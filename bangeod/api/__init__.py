"""The local API: HTTP on a Unix socket, through which the web app's workers and the commands share the daemon.

``routes`` lists what is offered, ``messages`` what goes over the socket, ``handlers`` does it, by way of the protocol
in ``backend``: nothing here knows the daemon, SQLite or a source. ``daemon_state`` describes how the daemon stands;
``status_document`` and ``metrics`` are views of it, as are the status line (service) and the screen (cli).
"""
