"""The paths of files that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The repository."""
DATA = ROOT / "tests" / "data"
TRACES = DATA / "kubernetes-traces"
"""Recorded answers of a real Kubernetes."""
DEPLOY = ROOT / "k8s" / "deploy"
EXAMPLES = ROOT / "events" / "examples"
DEMO = ROOT / "handler" / "commands" / "demo" / "examples"
