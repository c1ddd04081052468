"""run_task.sh runs a task to its end, shows its log and fails when it fails."""

import pytest
from harness import SCRIPTS, need, refuse, succeed
from stub_aws import TASK, task

WHERE = [
    "--cluster",
    "c",
    "--task-definition",
    "td:1",
    "--subnets",
    "a,b",
    "--security-group",
    "g",
    "--poll",
    "0",
]
COMMAND = [SCRIPTS / "run_task.sh", *WHERE]


@pytest.fixture(autouse=True)
def _jq():
    need("jq")


def test_a_task_runs_in_private_subnets_and_each_line_of_its_log_is_shown_once(aws):
    result = succeed(*COMMAND, env=aws.environment)
    assert result.lines.count("first line") == 1
    assert "run_task.sh: td:1 runs as t1; its log is /group app/app/t1" in result.lines
    network = "awsvpcConfiguration={subnets=[a,b],securityGroups=[g],assignPublicIp=DISABLED}"
    assert aws.called(f"--network-configuration {network}")
    assert aws.called("--log-stream-name app/app/t1")


def test_a_task_can_run_another_command(aws):
    succeed(*COMMAND, "--command", "key create acme", env=aws.environment)
    assert aws.called('--overrides {"containerOverrides":[{"name":"app","command":["key","create","acme"]}]}')


def test_a_task_runs_its_own_command_otherwise(aws):
    succeed(*COMMAND, env=aws.environment)
    assert aws.called("--overrides {}")


def test_the_exit_code_of_the_task_is_passed_on(aws):
    aws.answer("ecs-describe-tasks", task("STOPPED", exitCode=65))
    result = refuse("failed with exit code 65", *COMMAND, env=aws.environment)
    assert result.code == 65


def test_a_container_that_never_ran_says_why(aws):
    stopped = task("STOPPED", reason="CannotPull")
    stopped["tasks"][0]["stoppedReason"] = "no image"
    aws.answer("ecs-describe-tasks", stopped)
    refuse("never ran: no image; CannotPull", *COMMAND, env=aws.environment)


def test_a_task_that_could_not_be_started_says_why(aws):
    aws.answer("ecs-run-task", {"tasks": [], "failures": [{"reason": "RESOURCE:ENI"}]})
    refuse("could not be started: RESOURCE:ENI", *COMMAND, env=aws.environment)


def test_a_task_that_takes_too_long_is_stopped(aws):
    aws.answer("ecs-describe-tasks", task("RUNNING"))
    refuse("did not end within 0 s", *COMMAND, "--timeout", "0", env=aws.environment)
    assert aws.called(f"aws ecs stop-task --cluster c --task {TASK}")
