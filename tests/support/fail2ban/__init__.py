"""fail2ban itself: its server, and its database as its own modules write it."""
