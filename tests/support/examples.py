"""How many examples hypothesis tries: as many as a test asks for, or few in the quick loop."""

from hypothesis import settings


def at_most(number: int) -> int:
    """Return how many examples a test tries that asks for so many: its own number would overrule the profile's."""
    assert settings.default is not None
    return min(number, settings.default.max_examples)
