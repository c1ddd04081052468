"""verify_rollout.sh follows one deployment by its id, and rollback.sh goes back to the revision before."""

import pytest
from harness import SCRIPTS, need, refuse, succeed
from stub_aws import service

WHERE = ["--cluster", "c", "--service", "s", "--poll", "0"]
VERIFY = [SCRIPTS / "verify_rollout.sh", *WHERE]
ROLLBACK = [SCRIPTS / "rollback.sh", *WHERE]
DESCRIBE = "ecs-describe-services"


@pytest.fixture(autouse=True)
def _jq():
    need("jq")


def test_a_rollout_is_done_when_every_task_runs(aws):
    aws.answer(DESCRIBE, service("d1", "td:2", "IN_PROGRESS", 1), service("d1", "td:2"))
    succeed(*VERIFY, "--task-definition", "td:2", env=aws.environment)
    assert aws.verbs("describe-services") == ["describe-services"] * 2


def test_another_deployment_is_a_failure(aws):
    aws.answer(DESCRIBE, service("d1", "td:2", "IN_PROGRESS", 1), service("d2", "td:2"))
    refuse("deployment d1 was replaced by d2", *VERIFY, env=aws.environment)


def test_another_task_definition_is_a_failure_and_the_last_events_are_shown(aws):
    aws.answer(DESCRIBE, service("d2", "td:1"))
    result = refuse("s runs td:1 and not td:2", *VERIFY, "--task-definition", "td:2", env=aws.environment)
    assert "last words" in result.text


def test_a_failed_deployment_says_why(aws):
    aws.answer(DESCRIBE, service("d1", "td:2", "FAILED", 0))
    refuse("deployment d1 of td:2 failed: why", *VERIFY, env=aws.environment)


def test_a_completed_rollout_with_a_task_missing_is_not_done(aws):
    aws.answer(DESCRIBE, service("d1", "td:2", running=1))
    refuse("is not done within 0 s", *VERIFY, "--timeout", "0", env=aws.environment)


def test_a_service_that_is_not_there_is_a_failure(aws):
    aws.answer(DESCRIBE, {"services": []})
    refuse("there is no service s in c", *VERIFY, env=aws.environment)


def test_rollback_deploys_the_revision_before_and_prints_its_image(aws):
    aws.answer(DESCRIBE, service("d1", "arn/s:3"), service("d2", "arn/s:2"))
    aws.answer("ecs-list-task-definitions", {"taskDefinitionArns": ["arn/s:4", "arn/s:3", "arn/s:2"]})
    deployments = [{"id": "d2", "status": "PRIMARY"}, {"id": "d1", "status": "ACTIVE"}]
    aws.answer("ecs-update-service", {"service": {"deployments": deployments}})
    result = succeed(*ROLLBACK, env=aws.environment)
    assert aws.called("aws ecs update-service --cluster c --service s --task-definition arn/s:2")
    assert "r/rates:old" in result.lines


def test_there_is_nothing_before_the_oldest_revision(aws):
    aws.answer(DESCRIBE, service("d1", "arn/s:1"))
    aws.answer("ecs-list-task-definitions", {"taskDefinitionArns": ["arn/s:2", "arn/s:1"]})
    refuse("nothing to go back to", *ROLLBACK, env=aws.environment)
    assert not aws.called("update-service")
