"""The shared database: the port that the rest of bangeod sees, and its adapters."""
