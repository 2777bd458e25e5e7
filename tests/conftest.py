"""For all tests: property tests take the same examples each time and as long as they take; campaigns go further."""

from hypothesis import settings

settings.register_profile("suite", parent=settings(), deadline=None, derandomize=True)
settings.load_profile("suite")
