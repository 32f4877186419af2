"""The shared database as the rest of bangeod sees it (``port``), and its adapters.

``sqlite`` is the web app's database, ``memory`` a store without one, ``fail2ban`` reads fail2ban's own database.
"""
