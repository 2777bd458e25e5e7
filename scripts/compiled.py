"""Compile the hot modules with mypyc while a wheel is built: a hook of hatchling's, off unless asked for.

    HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 pip install .

needs a C compiler and Python's headers (Debian: gcc, python3-dev).  The wheel then holds the same sources and,
beside each hot module, its compiled form, which Python prefers.  Nothing is written into the source tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Run in a process of its own: mypyc and setuptools keep global state, and the current directory matters to both.
BUILD = """
import os, sys
from mypyc.build import mypycify
from setuptools import Distribution

folder, *sources = sys.argv[1:]
options = ["--config-file", "pyproject.toml", "--cache-dir", os.devnull, *sources]
modules = mypycify(options, opt_level="2", debug_level="0", target_dir=folder, group_name="foregate")
build = Distribution({"name": "foregate", "ext_modules": modules}).get_command_obj("build_ext")
build.build_lib, build.build_temp = os.path.join(folder, "lib"), os.path.join(folder, "temp")
build.ensure_finalized()
build.run()
"""


class CompiledModules(BuildHookInterface[Any]):
    """Add the compiled form of the modules that `include` names and `exclude` does not (glob patterns)."""

    PLUGIN_NAME = "custom"
    _folder = ""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; raises RuntimeError with what the compiler said."""
        if version == "editable":
            raise RuntimeError("an editable install runs the sources; there is nothing to compile for it")
        self._folder = tempfile.mkdtemp(prefix="foregate-compiled-")
        root = Path(self.root)
        excluded = {path for pattern in self.config["exclude"] for path in root.glob(pattern)}
        chosen = {path for pattern in self.config["include"] for path in root.glob(pattern)} - excluded
        sources = sorted(str(path.relative_to(root)) for path in chosen if path.name != "__init__.py")
        command = [sys.executable, "-c", BUILD, self._folder, *sources]
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
        ended = subprocess.run(  # noqa: S603  # our own program and files
            command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if ended.returncode:
            self.finalize(version, build_data, "")
            raise RuntimeError(f"compiling failed:\n{ended.stdout[-4000:]}")
        library = Path(self._folder, "lib")
        for path in library.rglob("*.so"):
            build_data["force_include"][str(path)] = str(path.relative_to(library))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what only the build needed."""
        shutil.rmtree(self._folder, ignore_errors=True)
