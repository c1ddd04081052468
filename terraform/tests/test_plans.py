"""What must be true of everything that an environment plans, whichever module it is in."""

import json

import pytest
from harness import ENVIRONMENTS, EXAMPLES, ROOT, resources, values

pytestmark = pytest.mark.xdist_group("plans")


@pytest.fixture(params=[*ENVIRONMENTS, *EXAMPLES])
def planned(plans, request):
    return load(plans, request.param)


def load(plans, name):
    return resources(json.loads(plans.file(name).read_text())["planned_values"]["root_module"])


def test_databases_are_private_and_encrypted(planned):
    instances = values(planned, "aws_db_instance") + values(planned, "aws_rds_cluster_instance")
    assert instances and all(i["publicly_accessible"] is False for i in instances)
    stores = values(planned, "aws_db_instance") + values(planned, "aws_rds_cluster")
    assert all(s["storage_encrypted"] is True for s in stores)


def test_tasks_have_no_public_address(planned):
    services = values(planned, "aws_ecs_service")
    assert services
    assert all(s["network_configuration"][0]["assign_public_ip"] is False for s in services)


def test_only_the_load_balancer_lets_in_the_world(planned):
    rules = [r for r in planned if r["type"] == "aws_vpc_security_group_ingress_rule"]
    opened = [r["address"] for r in rules if r["values"].get("cidr_ipv4") == "0.0.0.0/0"]
    assert opened or all(lb["internal"] for lb in values(planned, "aws_lb"))
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


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_says_what_it_costs(name):
    text = (ROOT / "terraform" / "examples" / f"{name}.tfvars").read_text()
    assert "a month at" in text.split("\nenvironment")[0]


def test_the_smallest_example_is_no_larger_than_dev(plans):
    assert len(load(plans, "smallest")) <= len(load(plans, "dev"))


def test_the_example_of_production_is_https_and_has_a_firewall(plans):
    planned = load(plans, "production")
    assert sorted(listener["protocol"] for listener in values(planned, "aws_lb_listener")) == [
        "HTTP",
        "HTTPS",
    ]
    assert len(values(planned, "aws_wafv2_web_acl")) == 1
    [redirect] = values(planned, "aws_lb_listener", "redirect")
    assert redirect["default_action"][0]["type"] == "redirect"


def test_an_existing_network_is_used_and_not_touched(plans):
    planned = load(plans, "existing-vpc")
    made = {"aws_vpc", "aws_subnet", "aws_nat_gateway", "aws_vpc_endpoint", "aws_internet_gateway"}
    assert not [r["address"] for r in planned if r["type"] in made]
    [balancer] = values(planned, "aws_lb")
    assert balancer["internal"] is True
    assert balancer["subnets"] == ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
    [service] = values(planned, "aws_ecs_service")
    assert sorted(service["network_configuration"][0]["subnets"]) == balancer["subnets"]


def test_aurora_has_an_instance_beside_the_writer_and_reads_go_to_it(plans):
    assert len(values(load(plans, "aurora"), "aws_rds_cluster_instance")) == 2
