"""Obtain, keep and renew TLS certificates by ACME (RFC 8555), as a library for asyncio programs.

Import the modules by name; this file stays empty so that a worker may load `autocert.challenge` alone:
`autocert.manager` (the facade), `autocert.settings`, `autocert.challenge`, `autocert.diagnose`.
"""
