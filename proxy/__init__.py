"""Foregate: a reverse proxy with automatic certificates, a rate limiter and a short cache."""

__version__ = "0.1.0"
