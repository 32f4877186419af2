"""The local API: HTTP on a Unix socket, through which the web app's workers and the commands share the daemon."""
