"""A whole apply with hooks: their order and arguments, no secret left behind, a second plan, destroy."""

import json
import re

import pytest
from harness import need, resources, values
from hooked_root import DUMP_TAG, HookedRoot
from stub_aws import PASSWORD

pytestmark = pytest.mark.xdist_group("apply")


@pytest.fixture(scope="module")
def root(stand_in, tmp_path_factory):
    """Applied once, from nothing. The tests below go on from there, in their order."""
    need("jq")
    root = HookedRoot(tmp_path_factory.mktemp("apply"))
    root.log = root.apply("abc123").text
    root.first_calls, root.first_steps, root.first_tasks = root.aws.calls, root.steps(), root.tasks()
    root.definitions = {task: root.definition(task) for task in ("migrate", "load")}
    return root


@pytest.fixture(scope="module")
def applied(root):
    return resources(root.terraform.json("show", "-json")["values"]["root_module"])


@pytest.fixture(scope="module")
def definition(applied):
    """The task definition of the service."""
    address = 'module.task["rates"].aws_ecs_task_definition.this'
    return next(r["values"] for r in applied if r["address"] == address)


@pytest.fixture(scope="module")
def container(definition):
    return json.loads(definition["container_definitions"])[0]


def calls_matching(root, pattern):
    return [call for call in root.first_calls if re.search(pattern, call)]


def test_every_hook_runs_once(root):
    assert sorted(root.first_steps) == ["build", "build dump", "password", "task", "task"]


def test_the_migration_runs_before_the_load(root):
    assert root.first_tasks == [root.definitions["migrate"], root.definitions["load"]]


@pytest.mark.parametrize("before", ["build", "password"])
def test_hooks_of_the_migration_run_before_it(root, before):
    migration = root.first_steps.index("task")
    assert root.first_steps.index(before) < migration, root.first_steps


def test_the_dump_is_built_after_the_image_and_before_the_load(root):
    load = len(root.first_steps) - 1
    assert root.first_steps[load] == "task"
    assert root.first_steps.index("build") < root.first_steps.index("build dump") < load, root.first_steps


def test_the_image_is_built_with_the_tag(root):
    assert calls_matching(root, "^build [^ ]+ --service rates --tag abc123 --platform linux/amd64$")


def test_the_dump_is_built_with_its_own_tag(root):
    built = f"^build [^ ]+ --service rates --tag {DUMP_TAG} --platform linux/amd64 --dump /.*/db/rates.sql$"
    assert calls_matching(root, built)


def test_tasks_run_in_the_cluster_without_a_public_address(root):
    assert len(calls_matching(root, "^aws ecs run-task --cluster rates-dev .*assignPublicIp=DISABLED")) == 2


def test_the_log_of_a_task_is_shown(root):
    assert "first line" in root.log


def test_the_password_reaches_its_secret_and_nothing_else(root):
    assert root.aws.received("secretsmanager-put-secret-value")["password"] == PASSWORD
    assert PASSWORD not in root.log
    assert PASSWORD not in root.state_file()
    assert not [call for call in root.first_calls if PASSWORD in call]


def test_groups_lead_from_load_balancer_to_tasks_to_database_and_no_further(applied):
    groups = {r["address"]: r["values"]["id"] for r in applied if r["type"] == "aws_security_group"}
    rules = values(applied, "aws_vpc_security_group_ingress_rule")

    def group(module):
        return groups[f"module.{module}.aws_security_group.this"]

    def entrances(module):
        found = [rule for rule in rules if rule["security_group_id"] == group(module)]
        return sorted((rule["referenced_security_group_id"], rule["from_port"]) for rule in found)

    clients = ['task["rates"]', 'admin["migrate"]', 'admin["load"]']
    assert entrances('task["rates"]') == [(group("alb"), 3000)]
    assert entrances("rds") == sorted((group(client), 5432) for client in clients)


def test_the_load_balancer_reaches_the_task_that_the_service_runs(applied, definition, container):
    [target] = values(applied, "aws_lb_target_group")
    [service] = values(applied, "aws_ecs_service")
    route = service["load_balancer"][0]
    assert (target["port"], target["health_check"][0]["path"]) == (3000, "/healthz")
    assert route["target_group_arn"] == target["arn"]
    assert route["container_name"] == container["name"]
    assert service["task_definition"] == definition["arn"]


def test_the_task_is_told_of_the_database_and_given_its_password(container):
    told = {setting["name"] for setting in container["environment"]}
    tls = {"RATES__DATABASE__TLS_CA_FILE", "RATES__DATABASE__TLS_MODE"}
    assert told >= {"APP_ENV", "DB_HOST", "DB_NAME", "DB_PORT", "DB_USER"} | tls
    assert [secret["name"] for secret in container["secrets"]] == ["DB_PASSWORD"]
    assert container["image"].endswith(":abc123")
    assert container["stopTimeout"] == 30


def test_a_second_plan_has_no_changes(root):
    root.has_no_changes("abc123")


def test_another_tag_is_built_and_migrated_and_nothing_else(root):
    root.aws.forget_calls()
    root.apply("def456")
    assert root.steps() == ["build", "task"]
    assert root.tasks() == [root.definition("migrate")]


def test_destroy_leaves_nothing_behind(root):
    root.destroy("def456")
