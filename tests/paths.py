"""Where the files are that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""Of the repository."""
DATA = ROOT / "tests" / "data"
TRACES = DATA / "kubernetes-traces"
"""Answers of a real Kubernetes, recorded."""
DEPLOY = ROOT / "k8s" / "deploy"
EXAMPLES = ROOT / "events" / "examples"
DEMO = ROOT / "handler" / "commands" / "demo" / "examples"
