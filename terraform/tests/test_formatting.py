"""The configuration and the scripts are formatted and pass shellcheck, and so do the commands of hooks."""

import json
import re

import pytest
from harness import ROOT, need, succeed
from stub_aws import STUBS

HOOKS = ROOT / "terraform" / "hooks.tf"


def scripts():
    stubs = (path for path in STUBS.rglob("*") if path.is_file())
    return sorted([*ROOT.glob("terraform/scripts/*.sh"), *ROOT.glob("bucket-state/*.sh"), *stubs])


def inline_commands():
    """The commands of local-exec provisioners, which terraform hands to sh."""
    text = HOOKS.read_text()
    found = re.findall(r'^    command\s*=\s*(".*")$', text, re.MULTILINE)
    assert len(found) == text.count('"local-exec"') > 0, "hooks.tf has a command that this test does not see"
    return [json.loads(command) for command in found]


@pytest.mark.parametrize("directory", ["terraform", "bucket-state"])
def test_configuration_is_formatted(directory):
    need("terraform")
    succeed("terraform", f"-chdir={ROOT}", "fmt", "-check", "-diff", "-recursive", directory)


def test_scripts_pass_shellcheck():
    need("shellcheck")
    succeed("shellcheck", *scripts())


def test_scripts_are_formatted():
    need("shfmt")
    succeed("shfmt", "-i", "2", "-ci", "-d", *scripts())


def test_commands_of_hooks_pass_shellcheck(tmp_path):
    need("shellcheck")
    script = tmp_path / "inline.sh"
    script.write_text("".join(f"( {command} )\n" for command in inline_commands()))
    # SC2154: terraform sets the variables.
    succeed("shellcheck", "-s", "sh", "-e", "SC2154", script)


def test_no_value_is_pasted_into_a_command():
    pasted = [command for command in inline_commands() if "${" in command]
    assert not pasted, "terraform would put the value into the command; pass it in `environment`"


def test_only_hooks_run_commands():
    others = [
        path for path in ROOT.glob("terraform/**/*.tf") if path != HOOKS and "local-exec" in path.read_text()
    ]
    assert not others, "the commands in these files are not checked"
