"""MMDBs to test with: made, published, damaged, and held by a process of its own."""
