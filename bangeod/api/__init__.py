"""The local API: HTTP on a Unix socket, through which the web app's workers and the commands use the daemon.

``routes`` lists the requests, ``messages`` defines the bodies, ``handlers`` does the work through the protocol in
``backend``: nothing here knows the daemon, SQLite or a source. ``daemon_state`` defines the state of the daemon;
``status_document`` and ``metrics`` are views of it, as are the status line (service) and the screen (cli).

No client keeps others from being served; each limit is a constant of the module that keeps it:

    connections      open ones, those that send a body or leave an answer unread, and for how long
    unix_socket      connections that wait to be accepted
    request_body     bytes of a body
    messages         addresses of a batch, and of what is to be explained
    batch_admission  large batches worked on at a time, and bytes of those that wait; above that: 503
    counting         counts at a time, and how many wait
    pending_lookups  seconds of a lookup, and lookups that go on although nobody waits for them any more
"""
