"""The running process: event loop, scheduler, state on disk, and what wires them."""
