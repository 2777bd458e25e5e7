"""The output cache: what may be kept, under which key, for how long, and the memory that all workers share.

Read `key` and `policy` for the rules, `store` and `front` for the way of a lookup, `collapse` and `claims` for what
happens when many ask at once, `invalidation` for own writes. docs/cache.md tells operators the same.
"""
