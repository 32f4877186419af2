"""The fleet: what many hosts tell each other through the schema ``bangeod`` of a PostgreSQL server.

Each host has a role of its own, and changes only rows that it wrote itself: the server sees to that.
"""
