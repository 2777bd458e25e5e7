"""nginx's configuration: tokens, a tree of directives, and what its servers and locations say."""
