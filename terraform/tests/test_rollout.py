"""verify_rollout.sh follows one deployment, and rollback.sh goes back to what ran well before."""

import pytest
from harness import SCRIPTS, need, refuse, succeed
from stub_aws import deployments, revision, service

WHERE = ["--cluster", "c", "--service", "s", "--poll", "0"]
VERIFY = [SCRIPTS / "verify_rollout.sh", *WHERE]
ROLLBACK = [SCRIPTS / "rollback.sh", *WHERE]
DESCRIBE = "ecs-describe-services"
LIST = "ecs-list-service-deployments"
REVISIONS = "ecs-describe-service-revisions"

FIRST = ("r1", "SUCCESSFUL")


@pytest.fixture(autouse=True)
def _jq():
    need("jq")


@pytest.fixture
def deployed(aws):
    """Deployments as they are listed one look after the other; the service runs td:2."""

    def answer(*looks, runs="td:2"):
        aws.answer(DESCRIBE, service(runs))
        aws.answer(LIST, *[deployments(*look) for look in looks])
        aws.answer(REVISIONS, revision("td:2"))
        return aws

    return answer


def test_a_rollout_is_done_when_its_deployment_has_succeeded(deployed):
    aws = deployed([FIRST, ("r2", "PENDING")], [FIRST, ("r2", "IN_PROGRESS")], [FIRST, ("r2", "SUCCESSFUL")])
    succeed(*VERIFY, "--task-definition", "td:2", env=aws.environment)
    assert aws.verbs("list-service-deployments") == ["list-service-deployments"] * 3


def test_a_deployment_that_is_not_listed_yet_is_waited_for(deployed):
    aws = deployed([FIRST], [FIRST, ("r2", "SUCCESSFUL")])
    result = succeed(*VERIFY, "--after", "arn/d1", env=aws.environment)
    assert "deployment d2" in result.text


def test_another_deployment_is_a_failure(deployed):
    aws = deployed([("r2", "IN_PROGRESS")], [("r2", "STOPPED"), ("r3", "IN_PROGRESS")])
    refuse("deployment d1 was replaced by d2", *VERIFY, env=aws.environment)


def test_another_task_definition_is_a_failure_and_the_last_events_are_shown(deployed):
    aws = deployed([FIRST], runs="td:1")
    result = refuse("s runs td:1 and not td:2", *VERIFY, "--task-definition", "td:2", env=aws.environment)
    assert "last words" in result.text


def test_a_deployment_of_another_task_definition_is_a_failure(deployed):
    aws = deployed([FIRST], runs="td:3")
    refuse("the newest deployment of s is of td:2", *VERIFY, "--task-definition", "td:3", env=aws.environment)


@pytest.mark.parametrize("status", ["ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED", "STOPPED"])
def test_a_failed_deployment_says_why(deployed, status):
    aws = deployed([FIRST, ("r2", status)])
    refuse(f"deployment d2 of td:2 failed ({status}): why", *VERIFY, env=aws.environment)


def test_a_deployment_that_takes_too_long_is_a_failure(deployed):
    aws = deployed([("r2", "IN_PROGRESS")])
    refuse("is not complete within 0 s", *VERIFY, "--timeout", "0", env=aws.environment)


def test_a_service_that_was_deployed_long_ago_runs(deployed):
    aws = deployed([])
    result = succeed(*VERIFY, "--task-definition", "td:2", env=aws.environment)
    assert "not deployed in the last 90 days" in result.text


def test_a_service_that_is_not_there_is_a_failure(aws):
    aws.answer(DESCRIBE, {"services": []})
    refuse("there is no service s in c", *VERIFY, env=aws.environment)


def test_rollback_deploys_what_last_ran_well_and_prints_its_image(aws):
    # 4 runs after a restart; 3 was rolled back, although it is the revision before.
    before = [("r1", "SUCCESSFUL"), ("r2", "SUCCESSFUL"), ("r3", "ROLLBACK_SUCCESSFUL"), ("r4", "SUCCESSFUL")]
    aws.answer(LIST, deployments(*before), deployments(*before), deployments(*before, ("r5", "SUCCESSFUL")))
    aws.answer(DESCRIBE, service("arn/s:4"), service("arn/s:2"))
    aws.answer(REVISIONS, revision("arn/s:4"), revision("arn/s:2"))
    result = succeed(*ROLLBACK, env=aws.environment)
    assert aws.called("aws ecs describe-service-revisions --service-revision-arns r4")
    assert aws.called("aws ecs describe-service-revisions --service-revision-arns r2")
    assert not aws.called("--service-revision-arns r3")
    assert aws.called("aws ecs update-service --cluster c --service s --task-definition arn/s:2")
    assert "deployment d5" in result.text
    assert "r/rates:old" in result.lines


def test_there_is_nothing_to_go_back_to_without_another_successful_deployment(aws):
    aws.answer(DESCRIBE, service("arn/s:1"))
    aws.answer(LIST, deployments(("r1", "SUCCESSFUL")))
    aws.answer(REVISIONS, revision("arn/s:1"))
    refuse("nothing to go back to", *ROLLBACK, env=aws.environment)
    assert not aws.called("update-service")
