"""deploy.sh and destroy.sh, which call terraform themselves, against stand-ins for both terraform and aws."""

import json
import os
import re

import pytest
from harness import ROOT, SCRIPTS, need, refuse, run, succeed
from stub_aws import STUBS, service

VAR_FILE = ROOT / "terraform" / "environments" / "dev.tfvars"
DEPLOY = [SCRIPTS / "deploy.sh", "--var-file", VAR_FILE, "--tag", "abc123"]
DESTROY = [SCRIPTS / "destroy.sh", "--var-file", VAR_FILE, "--yes"]
OUTPUTS = {
    "region": "eu-west-1",
    "cluster": "rates-dev",
    "curl": "curl http://x",
    "database": {"cluster": None, "writer": "rates-dev"},
    "services": {"rates": {"service": "s", "task_definition": "td:2"}},
}


@pytest.fixture
def dev(aws):
    """The stand-ins, with the outputs of an environment named rates-dev."""
    need("jq")
    aws.environment["PATH"] = f"{STUBS / 'no_terraform'}{os.pathsep}{aws.environment['PATH']}"
    outputs = {name: {"value": value} for name, value in OUTPUTS.items()}
    (aws.directory / "outputs").write_text(json.dumps(outputs))
    return aws


def test_deploy_applies_follows_the_rollout_and_ends_with_a_request_to_try(dev):
    dev.answer("ecs-describe-services", service("d1", "td:2"))
    result = succeed(*DEPLOY, "-auto-approve", env=dev.environment)
    assert f"terraform apply -var-file={VAR_FILE} -var=image_tag=abc123 -auto-approve" in dev.calls
    assert dev.called("aws ecs describe-services --cluster rates-dev --services s")
    assert result.stdout.splitlines()[-1] == "curl http://x"


def test_deploy_fails_when_something_else_runs(dev):
    dev.answer("ecs-describe-services", service("d2", "td:1"))
    refuse("s runs td:1 and not td:2", *DEPLOY, env=dev.environment)


def test_destroy_refuses_a_name_that_is_not_in_the_state(dev):
    refuse("the state here is of rates-dev, not of rates-prod", *DESTROY, "rates-prod", env=dev.environment)
    assert not dev.called("terraform destroy")


def test_nothing_is_destroyed_without_its_snapshot(dev):
    dev.fail("rds-create-db-snapshot")
    assert run(*DESTROY, "rates-dev", env=dev.environment).code != 0
    assert dev.called("aws rds create-db-snapshot")
    assert not dev.called("terraform destroy")


def test_destroy_takes_a_snapshot_then_turns_protection_off_then_destroys(dev):
    succeed(*DESTROY, "rates-dev", "-auto-approve", env=dev.environment)
    database = "--db-instance-identifier rates-dev --db-snapshot-identifier rates-dev-last-"
    steps = [call for call in dev.calls if re.match("aws rds create|terraform (apply|destroy)", call)]
    assert len(steps) == 3
    assert steps[0].startswith(f"aws rds create-db-snapshot {database}")
    assert re.match("terraform apply .*-var=protected=false.*-auto-approve$", steps[1])
    assert re.match("terraform destroy .*-var=protected=false.*-auto-approve$", steps[2])
