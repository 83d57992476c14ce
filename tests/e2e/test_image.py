"""The image without a Docker engine: the builder's steps as they stand in the Dockerfile, run in an
empty directory, its absolute paths mapped; then the final stage's commands on what they made.

What this cannot show: that the base image is as expected, and the user's rights in it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
VENV = "/opt/splitway"
MAPPED = re.compile(r"(?<![\w./-])/(?=(?:opt|src|etc/splitway|var/lib/splitway)\b)")
"""The image's own directories; whatever else is absolute is the machine's."""

CONFIG = """\
listeners:
  - {name: web, bind: "127.0.0.1:0"}
admin: {bind: "127.0.0.1:0"}
services:
  shop: {versions: {stable: {endpoints: ["http://127.0.0.1:9"]}}}
routes:
  - {service: shop}
drain: {grace_s: 0}
"""


@dataclass
class Stage:
    """One FROM and what follows it."""

    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all_of(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.steps if name == instruction]

    def last(self, instruction: str) -> str:
        return self.all_of(instruction)[-1]


def stages_of(dockerfile: str) -> list[Stage]:
    text = "\n".join(line for line in dockerfile.splitlines() if not line.lstrip().startswith("#"))
    stages: list[Stage] = []
    for line in text.replace("\\\n", " ").splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            stages.append(Stage(rest.partition(" AS ")[2]))
        elif instruction:
            stages[-1].steps.append((instruction, rest.strip()))
    return stages


def exec_form(text: str) -> list[str]:
    command: list[str] = json.loads(text)
    return command


class Image:
    """What the Dockerfile made, under a directory that stands for ``/``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.builder, self.final = stages_of((ROOT / "Dockerfile").read_text())
        self.venv = Path(self.mapped(VENV))

    def mapped(self, text: str) -> str:
        return MAPPED.sub(f"{self.root}/", text)

    def build(self) -> None:
        cwd = self.root
        for instruction, rest in self.builder.steps:
            match instruction:
                case "WORKDIR":
                    cwd = Path(self.mapped(rest))
                    cwd.mkdir(parents=True)
                case "COPY":
                    *sources, target = rest.split()
                    self._copy(sources, cwd / target)
                case "RUN":
                    run(["sh", "-c", self.mapped(rest)], cwd, self._builders_environment())
                case _:
                    pytest.fail(f"the test does not know what {instruction} does")

    def _copy(self, sources: Sequence[str], target: Path) -> None:
        passed = (ROOT / ".dockerignore").read_text().splitlines()
        for source in sources:
            assert f"!{source}" in passed, f".dockerignore keeps {source} from the engine"
            if (ROOT / source).is_dir():
                assert len(sources) == 1, "COPY of several directories would mix their contents"
                shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, target)

    def _builders_environment(self) -> dict[str, str]:
        """The machine's own, without a trace of the environment the tests run in."""
        bin_ = self.root / "usr-local-bin"
        bin_.mkdir(exist_ok=True)
        python = bin_ / "python"
        # Not a link: a venv made through a link would look for its library beside the link.
        interpreter = getattr(sys, "_base_executable", sys.executable)
        python.write_text(f'#!/bin/sh\nexec "{interpreter}" "$@"\n')
        python.chmod(0o755)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "VIRTUAL_ENV", "COV", "PYTEST"))
        }
        return kept | {"PATH": f"{bin_}:/usr/bin:/bin"}

    def environment(self, **variables: str) -> dict[str, str]:
        """The final stage's ENV, and nothing of the machine's."""
        pairs = re.findall(r'(\w+)=("[^"]*"|\S+)', self.final.last("ENV"))
        own = {name: self.mapped(value.strip('"')) for name, value in pairs}
        own["PATH"] = own["PATH"].replace("$PATH", "/usr/bin:/bin")
        return own | variables


def run(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], code: int = 0
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@contextmanager
def running(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    """The command until SIGTERM, after which it must exit 0."""
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=30)
            assert process.returncode == 0, said
        finally:
            process.kill()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    made = Image(tmp_path_factory.mktemp("image"))
    made.build()
    return made


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A working directory that has nothing to do with the sources."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["splitway-proxy", "--version"], "splitway-proxy 0."),
        (["splitway-control", "--help"], "--token-file"),
        (["splitway", "--help"], "weights"),
    ],
)
def test_each_command_runs_with_an_empty_environment(
    image: Image, elsewhere: Path, command: list[str], said: str
) -> None:
    program = str(image.venv / "bin" / command[0])
    assert said in run([program, *command[1:]], elsewhere, {}).stdout


def test_the_image_s_command_serves_and_its_healthcheck_passes(
    image: Image, elsewhere: Path, tmp_path: Path
) -> None:
    command = [image.mapped(word) for word in exec_form(image.final.last("CMD"))]
    config = Path(command[-1])
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(CONFIG)
    check = exec_form(image.final.last("HEALTHCHECK").partition(" CMD ")[2])
    decoy = tmp_path / "decoy"  # a directory in which a `proxy` package lies that is not ours
    (decoy / "proxy").mkdir(parents=True)
    (decoy / "proxy" / "__init__.py").write_text("raise SystemExit(0)\n")
    with running(command, elsewhere, image.environment()) as proxy:
        assert proxy.stdout is not None
        line = proxy.stdout.readline()
        found = re.search(r"admin on (http://\S+);", line)
        assert found, line or (proxy.stderr and proxy.stderr.read())
        told = image.environment(SPLITWAY_HEALTH_URL=f"{found[1]}/readyz")
        run(check, decoy, told)
    assert "refused" in run(check, decoy, told, code=1).stderr


def test_the_control_plane_starts_from_the_same_image(image: Image, elsewhere: Path) -> None:
    command = ["splitway-control", "--bind", "127.0.0.1:0"]
    with running(command, elsewhere, image.environment()) as control:
        assert control.stdout is not None
        told = control.stdout.readline() + control.stdout.readline()
        found = re.search(r"control plane on (http://\S+)", told)
        assert found, told
        run(["python", "-I", "-m", "proxy.healthcheck", found[1]], elsewhere, image.environment())
    assert (elsewhere / "splitway.db").exists()


def test_nothing_is_in_it_that_only_development_needs(image: Image, elsewhere: Path) -> None:
    code = (
        "import importlib.metadata as m, importlib.util as u;"
        "print(*sorted(d.name.lower() for d in m.distributions()));"
        "print(*(n for n in ('tests', 'loadtests', 'pip', 'setuptools') if u.find_spec(n)))"
    )
    python = str(image.venv / "bin" / "python")
    installed, importable = run([python, "-I", "-c", code], elsewhere, {}).stdout.split("\n")[:2]
    assert {"splitway", "uvloop", "sqlalchemy", "typer"} <= set(installed.split())
    unwanted = {"pytest", "locust", "hypothesis", "httptools", "mypy", "ruff", "pip", "setuptools"}
    assert not unwanted & set(installed.split())
    assert importable == ""


def test_everything_is_byte_compiled_without_time_stamps(image: Image) -> None:
    package = next((image.venv / "lib").glob("python3.*/site-packages"))
    for name in ("proxy", "controlplane", "aiohttp"):
        for source in (package / name).rglob("*.py"):
            compiled = list((source.parent / "__pycache__").glob(f"{source.stem}.*.pyc"))
            assert compiled, f"{source} is not compiled"
            assert compiled[0].read_bytes()[4:8] == b"\1\0\0\0"  # PEP 552: by hash, unchecked


def test_the_final_stage_takes_the_builder_s_work_and_is_nobody_special(image: Image) -> None:
    final = image.final
    assert final.all_of("COPY") == [f"--from={image.builder.name} {VENV} {VENV}"]
    user = final.last("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user), "a number, so that runAsNonRoot works"
    made = " ".join(final.all_of("RUN"))
    assert f"--uid {user.partition(':')[0]}" in made
    assert f"install -d -o {user.replace(':', ' -g ')} -m 0750 /var/lib/splitway" in made
    assert final.last("STOPSIGNAL") == "SIGTERM"


def test_its_size(image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    total = sum(f.lstat().st_size for f in image.venv.rglob("*") if not f.is_dir())
    with capsys.disabled():
        print(f"\nimage: {VENV} is {total / 1e6:.1f} MB on top of the base image")  # noqa: T201 - a figure for the build's log
    assert total < 150e6
