"""The supervisor: binds sockets, starts and replaces workers, reloads, drains, answers the operator."""
