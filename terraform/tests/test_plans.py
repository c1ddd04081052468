"""What must be true of everything that an environment plans, whichever module it is in."""

import json

import pytest
from harness import ENVIRONMENTS, resources, values

pytestmark = pytest.mark.xdist_group("plans")


@pytest.fixture(params=ENVIRONMENTS)
def planned(plans, request):
    return load(plans, request.param)


def load(plans, name):
    return resources(json.loads(plans.file(name).read_text())["planned_values"]["root_module"])


def test_databases_are_private_and_encrypted(planned):
    databases = values(planned, "aws_db_instance")
    assert databases
    assert all(d["publicly_accessible"] is False and d["storage_encrypted"] is True for d in databases)


def test_tasks_have_no_public_address(planned):
    services = values(planned, "aws_ecs_service")
    assert services
    assert all(s["network_configuration"][0]["assign_public_ip"] is False for s in services)


def test_only_the_load_balancer_lets_in_the_world(planned):
    rules = [r for r in planned if r["type"] == "aws_vpc_security_group_ingress_rule"]
    opened = [r["address"] for r in rules if r["values"].get("cidr_ipv4") == "0.0.0.0/0"]
    assert opened
    assert all(address.startswith("module.alb.") for address in opened), opened


def test_no_log_is_kept_for_ever(planned):
    groups = values(planned, "aws_cloudwatch_log_group")
    assert groups
    assert all(g["retention_in_days"] > 0 for g in groups)


def test_every_alarm_says_what_to_do_first(planned):
    alarms = values(planned, "aws_cloudwatch_metric_alarm")
    assert len(alarms) > 10
    assert not [a["alarm_name"] for a in alarms if "First:" not in a["alarm_description"]]


def test_no_password_is_planned(planned):
    secrets = ("password", "master_password", "secret_string")
    assert not [r["address"] for r in planned for name in secrets if r["values"].get(name) is not None]


def test_dev_can_be_destroyed(plans):
    databases = values(load(plans, "dev"), "aws_db_instance")
    assert databases and all(d["deletion_protection"] is False for d in databases)


def test_dev_is_on_spot(plans):
    strategies = [s["capacity_provider_strategy"] for s in values(load(plans, "dev"), "aws_ecs_service")]
    assert [s[0]["capacity_provider"] for s in strategies] == ["FARGATE_SPOT"]


def test_the_database_of_prod_is_protected_and_has_a_standby(plans):
    [database] = values(load(plans, "prod"), "aws_db_instance", "this")
    assert database["deletion_protection"] is True
    assert database["skip_final_snapshot"] is False
    assert database["multi_az"] is True


def test_the_load_balancer_of_prod_is_protected(plans):
    [balancer] = values(load(plans, "prod"), "aws_lb")
    assert balancer["enable_deletion_protection"] is True
