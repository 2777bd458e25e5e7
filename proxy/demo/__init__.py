"""`foregate demo`: Foregate in front of a small app, shown at work by real requests."""

from proxy.demo.stage import run_demo

__all__ = ["run_demo"]
