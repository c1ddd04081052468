"""With the hooks off, a pipeline can apply in steps and migrate from the outputs, as docs/aws.md has it."""

import pytest
from harness import SCRIPTS, documented_commands, need, succeed
from hooked_root import HookedRoot

# With a replica, since then the password of the master user is ours to make; and with the modules that are off by default.
SETTINGS = [
    "-var=run_hooks=false",
    "-var=database={replicas=1}",
    '-var=backup_copies={region="eu-central-1"}',
    '-var=pipeline={repository="example/rates",state_bucket="rates-state"}',
]
BEFORE_THE_MIGRATION = [f"-target=module.{module}" for module in ("vpc", "ecr", "ecs", "rds", "admin")]
AVAILABLE = {"DBInstances": [{"DBInstanceStatus": "available", "PendingModifiedValues": {}}]}

pytestmark = pytest.mark.xdist_group("pipeline")


@pytest.fixture(scope="module")
def root(stand_in, tmp_path_factory):
    """Applied as far as the migration needs. The tests below go on from there, in their order."""
    need("jq")
    root = HookedRoot(tmp_path_factory.mktemp("pipeline"), *SETTINGS)
    root.aws.answer("rds-describe-db-instances", AVAILABLE)
    root.apply("abc123", *BEFORE_THE_MIGRATION)
    return root


def test_no_hook_runs_and_no_service_starts(root):
    assert root.aws.calls == []
    assert not root.runs_a_service()


def test_images_are_built_from_the_outputs(root):
    root.aws.forget_calls()
    script = root.terraform.directory.parent / "build_push_docker_image.sh"
    succeed(script, *root.arguments("builds", "rates"), "--tag", "abc123", env=root.aws.environment)
    [call] = root.aws.calls
    assert call.endswith(" --service rates --platform linux/amd64 --tag abc123")


def test_the_migration_runs_from_the_outputs(root):
    arguments = root.arguments("one_off_tasks", "migrate")
    succeed(SCRIPTS / "run_task.sh", *arguments, env=root.aws.environment)
    assert root.tasks() == [root.definition("migrate")]


def test_an_operator_makes_a_key_by_a_task_and_deletes_its_log_as_documented(root):
    root.aws.forget_calls()
    run, delete_log = documented_commands("## Run a command")
    result = succeed("bash", "-euc", run, cwd=root.terraform.directory, env=root.aws.environment)
    assert root.tasks() == [root.definition("migrate")]
    assert root.aws.called('"command":["key","create","acme"]')
    group = delete_log.split("--log-group-name ")[1].split()[0]
    assert group in [each["name"] for each in root.attributes("aws_cloudwatch_log_group")]
    succeed("bash", "-euc", delete_log.replace("TASK", "t1"), env=root.aws.environment)
    assert root.aws.called("--log-stream-name app/app/t1") and "app/app/t1" in result.text


@pytest.mark.parametrize("user", ["app", "master"])
def test_passwords_are_made_from_the_outputs(root, user):
    root.aws.forget_calls()
    arguments = root.arguments("database_passwords", user)
    succeed(SCRIPTS / "database_password.sh", "--poll", "0", *arguments, env=root.aws.environment)
    assert root.steps() == ["password"]


def test_the_password_the_machine_is_born_with_is_not_in_the_state(root):
    attributes = root.attributes("aws_db_instance")
    assert len(attributes) == 2
    assert all(a["password"] is None and a["password_wo"] is None for a in attributes)


def test_the_rest_follows_without_a_hook_and_a_second_plan_has_no_changes(root):
    root.aws.forget_calls()
    root.apply("abc123")
    assert root.aws.calls == []
    assert root.runs_a_service()
    root.has_no_changes("abc123")


def test_the_drift_check_finds_nothing_and_then_what_changed(root):
    tag = root.terraform.succeed("output", "-raw", "image_tag").stdout
    settings = [*root.settings, f"-var=image_tag={tag}"]
    plan = ["plan", "-detailed-exitcode", *settings]
    assert root.terraform.run(*plan).code == 0
    assert root.terraform.run(*plan, "-var=request_timeout_seconds=20").code == 2


def test_destroy_leaves_nothing_behind(root):
    root.destroy("abc123")
