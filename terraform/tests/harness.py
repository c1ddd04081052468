"""Runs commands, and terraform in a copy of the configuration."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "terraform" / "scripts"
EXAMPLES = sorted(path.stem for path in (ROOT / "terraform" / "examples").glob("*.tfvars"))
ENVIRONMENTS = sorted(path.stem for path in (ROOT / "terraform" / "environments").glob("*.tfvars"))

# What a checkout may hold besides the code: an operator's backend, states and lock files.
NOT_CODE = shutil.ignore_patterns(
    ".terraform", "*.tfstate*", ".terraform.lock.hcl", "backend.hcl", "__pycache__"
)


class Result:
    """How a command ended and what it printed."""

    def __init__(self, command, completed):
        self.command = " ".join(command)
        self.code = completed.returncode
        self.stdout = completed.stdout
        self.text = completed.stdout + completed.stderr

    @property
    def lines(self):
        return self.text.splitlines()


def run(*command, **options):
    command = [str(word) for word in command]
    completed = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        **options,
    )
    return Result(command, completed)


def succeed(*command, **options):
    result = run(*command, **options)
    assert result.code == 0, f"{result.command} failed with {result.code}:\n{result.text}"
    return result


def refuse(message, *command, **options):
    """The command must fail and print the message."""
    result = run(*command, **options)
    assert result.code != 0, f"{result.command} should have failed:\n{result.text}"
    assert message in result.text, f"{result.command} should have said {message!r}:\n{result.text}"
    return result


def documented_commands(heading):
    """The blocks of commands in a section of docs/aws.md."""
    text = (ROOT / "docs" / "aws.md").read_text(encoding="utf-8").split(f"\n{heading}\n", 1)[1]
    section = re.split(r"^##", text, maxsplit=1, flags=re.M)[0]
    return re.findall(r"^```sh\n(.*?)^```", section, flags=re.M | re.S)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def directories():
    """Every directory with a configuration of its own, the one with most tests first."""
    modules = sorted((ROOT / "terraform" / "modules").iterdir())
    return ["terraform", "bucket-state", *(str(path.relative_to(ROOT)) for path in modules if path.is_dir())]


def copy_configuration(target):
    """Tests work on a copy, so that nothing is left in the tree and an operator's backend is not used."""
    for name in ("terraform", "bucket-state"):
        shutil.copytree(ROOT / name, target / name, ignore=NOT_CODE)
    # migrate.sh writes this one.
    (target / "bucket-state" / "backend.tf").unlink(missing_ok=True)
    return target


class Terraform:
    """terraform in one directory."""

    def __init__(self, directory, **environment):
        self.directory = directory
        self.options = {"env": {**os.environ, **environment}}

    def command(self, *arguments):
        return ["terraform", f"-chdir={self.directory}", *arguments]

    def run(self, *arguments):
        return run(*self.command(*arguments), **self.options)

    def succeed(self, *arguments):
        return succeed(*self.command(*arguments), **self.options)

    def refuse(self, message, *arguments):
        return refuse(message, *self.command(*arguments), **self.options)

    def use_local_backend(self):
        """State in a file instead of the bucket."""
        (self.directory / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
        self.succeed("init", "-input=false")

    def has_no_changes(self, *settings):
        result = self.run("plan", "-detailed-exitcode", "-input=false", "-no-color", *settings)
        assert result.code == 0, f"the plan has changes (2) or failed (1): {result.code}\n{result.text}"

    def json(self, *arguments):
        return json.loads(self.succeed(*arguments).stdout)

    def state(self):
        return self.succeed("state", "list").stdout.split()


def resources(module):
    """Every resource of a module and of those inside it, from the JSON of a plan or a state."""
    found = [resource for resource in module.get("resources", []) if "values" in resource]
    for child in module.get("child_modules", []):
        found += resources(child)
    return found


def values(found, kind, name=None):
    """The values of every resource of a type, or of those that also have a name."""
    return [r["values"] for r in found if r["type"] == kind and name in (None, r["name"])]
