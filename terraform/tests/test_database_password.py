"""database_password.sh makes a password once, rotates it on request, and never shows it."""

import pytest
from harness import SCRIPTS, need, run, succeed
from stub_aws import PASSWORD

COMMAND = [SCRIPTS / "database_password.sh", "--secret", "arn:s"]
APP = [*COMMAND, "--username", "rates_app"]
MASTER = [*COMMAND, "--username", "rates_admin", "--instance", "rates-dev", "--poll", "0"]
HOLDS_ONE = {"VersionIdsToStages": {"v1": ["AWSCURRENT"]}}


@pytest.fixture(autouse=True)
def _jq():
    need("jq")


def instance(status, **pending):
    return {"DBInstances": [{"DBInstanceStatus": status, "PendingModifiedValues": pending}]}


def assert_not_shown(aws, result):
    assert PASSWORD not in result.text
    assert not aws.called(PASSWORD)


def test_the_secret_gets_the_user_and_a_password_that_is_not_shown(aws):
    result = succeed(*APP, env=aws.environment)
    assert aws.received("secretsmanager-put-secret-value") == {"username": "rates_app", "password": PASSWORD}
    assert_not_shown(aws, result)


def test_a_password_is_kept_unless_a_rotation_is_asked_for(aws):
    aws.answer("secretsmanager-describe-secret", HOLDS_ONE)
    succeed(*APP, env=aws.environment)
    assert not aws.called("put-secret-value")
    succeed(*APP, "--rotate", env=aws.environment)
    assert aws.called("aws secretsmanager put-secret-value")


def test_rds_has_taken_the_password_of_the_master_before_the_secret_is_written(aws):
    aws.answer(
        "rds-describe-db-instances",
        instance("resetting-master-credentials"),
        instance("available", MasterUserPassword="****"),
        instance("available"),
    )
    result = succeed(*MASTER, env=aws.environment)
    assert aws.received("rds-modify-db-instance") == {
        "DBInstanceIdentifier": "rates-dev",
        "MasterUserPassword": PASSWORD,
        "ApplyImmediately": True,
    }
    order = aws.verbs("modify-db-instance", "describe-db-instances", "put-secret-value")
    assert order == ["modify-db-instance", *["describe-db-instances"] * 3, "put-secret-value"]
    assert_not_shown(aws, result)


def test_no_secret_is_written_when_rds_refuses(aws):
    aws.fail("rds-modify-db-instance")
    assert run(*MASTER, env=aws.environment).code != 0
    assert aws.called("modify-db-instance")
    assert not aws.called("put-secret-value")
