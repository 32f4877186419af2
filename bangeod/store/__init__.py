"""The shared database: the protocol by which the rest of bangeod uses it (``port``), and its adapters.

``sqlite`` is the web app's file, ``memory`` a store without a file. ``fail2ban`` reads another database: fail2ban's.
"""
