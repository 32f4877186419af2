"""What the tests stand on, by subject: stand-ins for the world around bangeod, and the daemon under test."""
