"""What the tests share. Most need Terraform and a provider; without them they are skipped and say why."""

import collections
import functools
import os
import shutil
import urllib.error
import urllib.request

import pytest
from harness import ENVIRONMENTS, Terraform, copy_configuration
from stub_aws import StubAws

REGISTRY = "https://registry.terraform.io/.well-known/terraform.json"
STAND_IN = "RATES_TERRAFORM_CLI_CONFIG"


def readable(path):
    return bool(path) and os.access(path, os.R_OK)


@functools.cache
def registry_answers():
    try:
        with urllib.request.urlopen(REGISTRY, timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False


def why_no_provider():
    """Why terraform cannot have the provider of AWS here; None when it can."""
    config = os.environ.get(STAND_IN)
    if not shutil.which("terraform"):
        return "terraform is not installed"
    if config:
        return None if readable(config) else f"{STAND_IN} names {config}, which cannot be read"
    if os.environ.get("TF_CLI_CONFIG_FILE") or registry_answers():
        return None
    return f"registry.terraform.io cannot be reached, and {STAND_IN} names no other source of the provider"


def pytest_configure():
    # No test may reach an AWS account, whoever runs it.
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        os.environ.pop(name, None)
    os.environ.update(
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_REGION="eu-west-1",
        AWS_DEFAULT_REGION="eu-west-1",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
    )
    # One that names no file only makes terraform warn at every call.
    if not readable(os.environ.get("TF_CLI_CONFIG_FILE")):
        os.environ.pop("TF_CLI_CONFIG_FILE", None)
    if readable(os.environ.get(STAND_IN)):
        os.environ["TF_CLI_CONFIG_FILE"] = os.environ[STAND_IN]


def pytest_terminal_summary(terminalreporter):
    """One line for each reason to skip tests, and not one for each test."""
    reasons = collections.Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.items():
        terminalreporter.write_line(f"SKIPPED {count}: {reason}")


@pytest.fixture(scope="session")
def provider():
    if reason := why_no_provider():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def stand_in(provider):
    """A provider that plans and applies by itself; the official one needs an AWS account for that."""
    if not os.environ.get(STAND_IN):
        pytest.skip(f"the official provider plans only with an AWS account, and {STAND_IN} names no stand-in")


@pytest.fixture(scope="session")
def configuration(provider, tmp_path_factory):
    """A copy of everything, to validate and to test."""
    return copy_configuration(tmp_path_factory.mktemp("configuration"))


@pytest.fixture
def aws(tmp_path):
    """The stand-in for the aws command."""
    directory = tmp_path / "stub"
    directory.mkdir()
    return StubAws(directory)


class Plans:
    """The environments as planned, each planned at its first use."""

    def __init__(self, directory):
        self.directory = copy_configuration(directory)
        self.terraform = Terraform(self.directory / "terraform")
        self.terraform.use_local_backend()
        self.files = {}

    def file(self, name):
        """The plan of an environment as a file of JSON."""
        if name not in self.files:
            self.files[name] = self.plan(name)
        return self.files[name]

    def plan(self, name):
        """Of environments/NAME.tfvars, or of examples/NAME.tfvars."""
        saved = self.directory / f"{name}.plan"
        folder = "environments" if name in ENVIRONMENTS else "examples"
        settings = [f"-var-file={folder}/{name}.tfvars", "-var=image_tag=abc123", "-var=run_hooks=false"]
        if name == "prod":
            # Production refuses plain HTTP, and the domain is the operator's.
            settings.append('-var=listener={domain="rates.example.com",zone_id="Z1"}')
        self.terraform.succeed("plan", "-input=false", *settings, f"-out={saved}")
        path = self.directory / f"{name}.json"
        path.write_text(self.terraform.succeed("show", "-json", str(saved)).stdout)
        return path


@pytest.fixture(scope="session")
def plans(stand_in, tmp_path_factory):
    return Plans(tmp_path_factory.mktemp("plans"))
