"""The shared database: the protocol by which the rest of bangeod uses it (``port``), and its adapters.

``sqlite`` is the web app's file, ``memory`` a stand-in for tests, held to the same contract. ``row_values``, ``times``
and ``time_forms`` say what the values of a row mean, wherever they are stored. ``fail2ban`` reads another database:
fail2ban's.
"""
