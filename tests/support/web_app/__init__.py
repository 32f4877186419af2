"""The web app's hand in the database: processes that write, read, lock and meddle."""
