"""Every root and module is valid, and all of its tests in Terraform's own language run and pass."""

import re

import pytest
from harness import ENVIRONMENTS, ROOT, Terraform, directories


def cases():
    """One directory each. Tests of the same directory run on the same worker, which initialises it once."""
    return [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in directories()]


@pytest.fixture
def initialised(configuration):
    def initialise(directory):
        terraform = Terraform(configuration / directory)
        if not (terraform.directory / ".terraform").exists():
            terraform.succeed("init", "-backend=false", "-input=false")
        return terraform

    return initialise


def run_tests(terraform, files, *arguments):
    """terraform test succeeds when it finds no tests, so as many must pass as the files have."""
    expected = sum(len(re.findall(r'^run "', path.read_text(), re.MULTILINE)) for path in files)
    assert expected > 0, f"{terraform.directory.name} has no tests"
    result = terraform.run("test", "-no-color", *arguments)
    failures = "\n".join(line for line in result.lines if not line.endswith("... pass"))
    assert result.code == 0, failures
    assert result.stdout.splitlines()[-1] == f"Success! {expected} passed, 0 failed.", failures


@pytest.mark.parametrize("directory", cases())
def test_configuration_is_valid(initialised, directory):
    initialised(directory).succeed("validate", "-no-color")


@pytest.mark.parametrize("directory", cases())
def test_all_terraform_tests_pass(initialised, directory):
    terraform = initialised(directory)
    run_tests(terraform, terraform.directory.glob("tests/*.tftest.hcl"))


@pytest.mark.xdist_group("environments")
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment_is_what_its_tests_say(initialised, name):
    tests = f"tests/environments/{name}.tftest.hcl"
    terraform = initialised("terraform")
    where = [
        "-test-directory=tests/environments",
        f"-filter={tests}",
        f"-var-file=environments/{name}.tfvars",
    ]
    run_tests(terraform, [terraform.directory / tests], *where)


def test_every_environment_has_tests():
    files = (ROOT / "terraform" / "tests" / "environments").glob("*.tftest.hcl")
    assert sorted(path.name.removesuffix(".tftest.hcl") for path in files) == ENVIRONMENTS
