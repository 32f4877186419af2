"""Servers on loopback in the place of those that bangeod asks, as strict as they are; and nginx in front of it."""
