"""Commands travel as pickled values."""

import pickle

from proxy.config.schema import Config
from proxy.control.messages import Configure


def test_commands_are_values() -> None:
    command = Configure(1, Config(), {"a.test": 1})
    assert pickle.loads(pickle.dumps(command)) == command
