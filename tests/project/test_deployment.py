"""What a hosting service reads: the dependency file, the Dockerfile, the compose file, Streamlit's settings."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import yaml
from packaging.specifiers import SpecifierSet

from tests.conftest import ROOT, need

HADOLINT, CHECK_SCHEMA = (Path(sysconfig.get_path("scripts")) / name for name in ("hadolint", "check-jsonschema"))
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def lines(name: str) -> list[str]:
    return [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]


def test_the_dependency_file_installs_the_project_itself_and_nothing_twice() -> None:
    assert lines("requirements.txt") == ["-e ."]


def test_no_file_that_community_cloud_prefers_stands_before_it() -> None:
    assert not [name for name in ("uv.lock", "Pipfile", "environment.yml") if (ROOT / name).exists()]


def test_the_image_runs_the_python_that_the_page_on_hosting_states() -> None:
    assert "FROM python:3.12-slim" in lines("Dockerfile")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert "Python 3.12" in (ROOT / "docs" / "hosting.md").read_text()


def test_the_dockerfile_passes_its_linter() -> None:
    need(HADOLINT.exists(), "hadolint, which comes with the extra [test]")
    result = subprocess.run([HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_the_workflow_is_one_by_its_schema() -> None:
    """The workflow itself runs actionlint, whose package fetches its program from GitHub when it is installed."""
    need(CHECK_SCHEMA.exists(), "check-jsonschema, which comes with the extra [test]")
    command = [CHECK_SCHEMA, "--builtin-schema", "vendor.github-workflows", WORKFLOW]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_workflow_runs_every_python_that_the_project_promises_on_three_systems() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
    pythons = [f"3.{minor}" for minor in range(8, 30) if SpecifierSet(promised).contains(f"3.{minor}")]
    assert jobs["fast"]["strategy"]["matrix"]["python"] == pythons
    assert jobs["fast"]["strategy"]["matrix"]["system"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert jobs["everything"]["strategy"]["matrix"]["python"] == [pythons[0], pythons[-1]]


def test_the_container_runs_without_root_rights_and_tells_its_health() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 1000$", text, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*\n?.*/_stcore/health", text, re.MULTILINE)
    assert "VOLUME /weights" in text
    assert "CONVFE_HOSTED=1" in text


def test_everything_the_dockerfile_copies_exists_and_passes_the_ignore_file() -> None:
    copied = [name for line in lines("Dockerfile") if line.startswith("COPY") for name in line.split()[1:-1]]
    let_through = {line[1:] for line in lines(".dockerignore") if line.startswith("!")}
    assert "dashboard.py" in copied
    for name in copied:
        assert (ROOT / name).exists()
        assert name in let_through


def test_the_compose_file_keeps_weights_and_limits_memory() -> None:
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["convfe"]
    assert service["volumes"] == ["weights:/weights"]
    assert service["mem_limit"] == "2g"
    assert service["ports"] == ["8501:8501"]


def test_protection_against_forged_requests_stays_on_and_errors_stay_in_the_log() -> None:
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert settings["server"]["enableXsrfProtection"] is True
    assert settings["server"]["enableCORS"] is True
    assert settings["client"]["showErrorDetails"] == "none"
    assert settings["browser"]["gatherUsageStats"] is False


def test_secrets_are_ignored_by_git_and_by_docker() -> None:
    assert ".streamlit/secrets.toml" in lines(".gitignore")
    assert ".streamlit/secrets.toml" in lines(".dockerignore")
