"""deploy.sh against stand-ins for terraform and aws, and destroy.sh with the real terraform."""

import json
import os

import pytest
from harness import ROOT, SCRIPTS, need, refuse, run, succeed
from hooked_root import HookedRoot
from stub_aws import STUBS, deployments, revision, service

VAR_FILE = ROOT / "terraform" / "environments" / "dev.tfvars"
DEPLOY = [SCRIPTS / "deploy.sh", "--var-file", VAR_FILE, "--tag", "abc123"]
# Protected, so that destroy.sh has something to turn off.
SETTINGS = ["-var=run_hooks=false", "-var=protected=true", "-var=listener={plain_http=true}"]

pytestmark = pytest.mark.xdist_group("deploy and destroy")

OUTPUTS = {
    "region": "eu-west-1",
    "cluster": "rates-dev",
    "curl": "curl http://x",
    "database": {"cluster": None, "writer": "rates-dev", "replicas": []},
    "services": {"rates": {"service": "s", "task_definition": "td:2"}},
}


@pytest.fixture
def dev(aws):
    """The stand-ins, with the outputs of an environment named rates-dev."""
    need("jq")
    aws.environment["PATH"] = f"{STUBS / 'no_terraform'}{os.pathsep}{aws.environment['PATH']}"
    outputs = {name: {"value": value} for name, value in OUTPUTS.items()}
    (aws.directory / "outputs").write_text(json.dumps(outputs))
    aws.answer("ecs-list-service-deployments", deployments(("r1", "SUCCESSFUL")))
    aws.answer("ecs-describe-service-revisions", revision("td:2"))
    return aws


def test_deploy_applies_follows_the_rollout_and_ends_with_a_request_to_try(dev):
    dev.answer("ecs-describe-services", service("td:2"))
    result = succeed(*DEPLOY, "-auto-approve", env=dev.environment)
    assert f"terraform apply -var-file={VAR_FILE} -var=image_tag=abc123 -auto-approve" in dev.calls
    assert dev.called("aws ecs list-service-deployments --cluster rates-dev --service s")
    assert result.stdout.splitlines()[-1] == "curl http://x"


def test_deploy_fails_when_something_else_runs(dev):
    dev.answer("ecs-describe-services", service("td:1"))
    refuse("s runs td:1 and not td:2", *DEPLOY, env=dev.environment)


def test_deploy_says_which_database_waits_for_a_reboot(dev):
    dev.answer("ecs-describe-services", service("td:2"))
    waiting = {"DBInstances": [{"DBParameterGroups": [{"ParameterApplyStatus": "pending-reboot"}]}]}
    dev.answer("rds-describe-db-instances", waiting)
    result = succeed(*DEPLOY, env=dev.environment)
    assert "settings of rates-dev wait for a reboot: aws rds reboot-db-instance" in result.text


# destroy.sh with the real terraform, whose provider deletes nothing but its state.


@pytest.fixture(scope="module")
def applied(stand_in, tmp_path_factory):
    need("jq")
    root = HookedRoot(tmp_path_factory.mktemp("destroy"), *SETTINGS)
    root.apply("abc123")
    return root


@pytest.fixture
def root(applied):
    """Applied, whatever the test before has destroyed."""
    state = applied.terraform.directory / "terraform.tfstate"
    before = state.read_bytes()
    applied.aws.forget_calls()
    yield applied
    state.write_bytes(before)
    applied.aws.works_again("rds-create-db-snapshot")


def destroy(root, *arguments):
    script = root.terraform.directory / "scripts" / "destroy.sh"
    var_file = root.terraform.directory / "environments" / "dev.tfvars"
    return run(script, "--var-file", var_file, "--yes", *arguments, "-auto-approve", env=root.aws.environment)


def test_destroy_refuses_a_name_that_is_not_in_the_state(root):
    result = destroy(root, "rates-prod")
    assert "the state here is of rates-dev, not of rates-prod" in result.text
    assert root.terraform.state() and not root.aws.calls


def test_nothing_is_destroyed_without_its_snapshot(root):
    root.aws.fail("rds-create-db-snapshot")
    assert destroy(root, "rates-dev").code != 0
    assert root.aws.called("aws rds create-db-snapshot")
    assert root.runs_a_service()


def test_destroy_takes_a_snapshot_then_destroys_everything(root):
    result = destroy(root, "rates-dev")
    assert result.code == 0, result.text
    assert root.aws.called(
        "aws rds create-db-snapshot --db-instance-identifier rates-dev --db-snapshot-identifier rates-dev-last-"
    )
    assert root.terraform.state() == []


def test_protection_is_turned_off_before(root):
    result = destroy(root, "rates-dev", "--no-snapshot")
    assert "deletion_protection" in result.text.split("Plan: 0 to add")[0]
    assert not root.aws.calls


def test_a_destroy_that_failed_half_way_goes_on_and_creates_nothing(root):
    """The outputs are the first to go, and with them what the script once knew of the environment."""
    root.terraform.succeed(
        "destroy",
        "-auto-approve",
        *root.settings,
        "-var=image_tag=none",
        "-target=module.service",
        "-target=module.alb",
    )
    path = root.terraform.directory / "terraform.tfstate"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"outputs": {}}))
    result = destroy(root, "rates-dev")
    assert result.code == 0, result.text
    assert root.aws.called("aws rds create-db-snapshot --db-instance-identifier rates-dev")
    assert "Creating..." not in result.text
    assert root.terraform.state() == []
