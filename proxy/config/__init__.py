"""The configuration: `schema` holds the values, `loader` makes them from `proxy.toml`.

Import the modules one by one: workers need `schema` alone, and `loader` brings pydantic with it.
"""
