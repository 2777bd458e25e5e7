"""Measure Foregate beside the proxies that it is compared with; see README.md in this folder."""
