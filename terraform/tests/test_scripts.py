"""Every script explains itself and refuses unknown and missing arguments."""

import pytest
from harness import ROOT, SCRIPTS, refuse, succeed

ALL = sorted([*SCRIPTS.glob("*.sh"), ROOT / "bucket-state" / "migrate.sh"])


@pytest.mark.parametrize("script", ALL, ids=lambda path: path.name)
def test_help_starts_with_the_usage(script):
    assert succeed(script, "--help").stdout.startswith("usage: ")


@pytest.mark.parametrize(
    "name", ["run_task", "database_password", "verify_rollout", "rollback", "prepare_account"]
)
def test_an_unknown_argument_is_refused(name):
    refuse("unknown argument: --frobnicate", SCRIPTS / f"{name}.sh", "--frobnicate")


@pytest.mark.parametrize(
    "name", ["run_task", "database_password", "verify_rollout", "rollback", "deploy", "destroy"]
)
def test_arguments_are_needed(name):
    refuse("needed (see --help)", SCRIPTS / f"{name}.sh")


def test_a_tag_alone_is_not_enough_to_deploy():
    refuse("needed (see --help)", SCRIPTS / "deploy.sh", "--tag", "abc")


@pytest.mark.parametrize(("name", "argument"), [("run_task", "--cluster"), ("deploy", "--tag")])
def test_an_argument_needs_its_value(name, argument):
    refuse("needs a value", SCRIPTS / f"{name}.sh", argument)


def test_a_file_of_settings_must_be_readable():
    refuse("cannot read", SCRIPTS / "deploy.sh", "--tag", "abc", "--var-file", "nowhere.tfvars")
