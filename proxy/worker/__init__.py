"""A worker process: one event loop with the data plane, at the command of the supervisor."""
