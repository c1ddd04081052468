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


def deployments(aws, *definitions):
    """Successful deployments, the oldest first."""
    found = [
        {"targetServiceRevisionArn": f"r{n}", "createdAt": f"2026-11-0{n}T00:00:00+00:00"}
        for n in range(1, len(definitions) + 1)
    ]
    aws.answer("ecs-list-service-deployments", {"serviceDeployments": found})
    answers = [{"serviceRevisions": [{"taskDefinition": definition}]} for definition in reversed(definitions)]
    aws.answer("ecs-describe-service-revisions", *answers)


def test_rollback_deploys_what_last_ran_well_and_prints_its_image(aws):
    # 4 runs after a restart; 3 was rolled back, so it is not in the list although it is the revision before.
    aws.answer(DESCRIBE, service("d1", "arn/s:4"), service("d2", "arn/s:2"))
    deployments(aws, "arn/s:1", "arn/s:2", "arn/s:4", "arn/s:4")
    primary = [{"id": "d2", "status": "PRIMARY"}, {"id": "d1", "status": "ACTIVE"}]
    aws.answer("ecs-update-service", {"service": {"deployments": primary}})
    result = succeed(*ROLLBACK, env=aws.environment)
    assert aws.called("aws ecs list-service-deployments --cluster c --service s --status SUCCESSFUL")
    assert aws.called("aws ecs describe-service-revisions --service-revision-arns r4")
    assert aws.called("aws ecs update-service --cluster c --service s --task-definition arn/s:2")
    assert "r/rates:old" in result.lines


def test_there_is_nothing_to_go_back_to_without_another_successful_deployment(aws):
    aws.answer(DESCRIBE, service("d1", "arn/s:1"))
    deployments(aws, "arn/s:1")
    refuse("nothing to go back to", *ROLLBACK, env=aws.environment)
    assert not aws.called("update-service")
