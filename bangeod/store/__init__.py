"""The shared database: the protocol by which the rest of bangeod uses it (``port``), and its adapters.

``sqlite`` is the web app's file, ``postgres`` its tables on a server, ``memory`` a stand-in for tests, all held to the
same contract. ``row_values``, ``times`` and ``time_forms`` say what the values of a row mean, wherever they are stored;
``sweep`` and ``row_cap`` which rows a deletion takes. ``migration`` copies the file's rows to a server. ``fail2ban``
reads another database: fail2ban's.
"""
