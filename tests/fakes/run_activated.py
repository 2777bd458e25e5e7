"""Be systemd: `python -m tests.fakes.run_activated DESCRIPTOR NAME COMMAND...` runs a command with one lent socket."""

import os
import sys

descriptor, name, *command = sys.argv[1:]
os.dup2(int(descriptor), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": name}
os.execv(command[0], command)
