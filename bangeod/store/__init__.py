"""The shared database as the rest of bangeod sees it (``port``), and its adapters.

``sqlite`` is the web app's file, ``memory`` a store without one. ``fail2ban`` reads another: fail2ban's own.
"""
