"""Messages between the supervisor and its workers."""
