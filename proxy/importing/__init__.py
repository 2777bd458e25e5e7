"""From the files of other proxies to a `proxy.toml`, with everything listed that could not be carried over.

Theory of operation.  A reader (`nginx`, `certbot`, `auto_ssl`) turns what it finds into a `Draft`: a TOML document,
notes on what it could not say in it, and certificates with their keys.  `repair` takes out of the document whatever
`foregate check` would refuse, with a note; `toml_text` writes it down; `takeover` puts the certificates into the
storage.  Where another proxy kept people out and Foregate has no such means, the way is closed rather than left open.
"""
