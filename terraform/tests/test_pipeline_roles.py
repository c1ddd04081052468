"""The roles of the pipeline, by the rules of IAM: what each step of the workflows calls is allowed, and nothing beside."""

import fnmatch
import json

import pytest
from harness import Terraform, copy_configuration

ACCOUNT = "123456789012"
IN_REGION = f"eu-west-1:{ACCOUNT}"
STATE = "arn:aws:s3:::rates-state"
CLUSTER = f"arn:aws:ecs:{IN_REGION}:cluster/rates-dev"
TASK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/rates-dev-rates-task-eu-west-1"
IMAGES = f"arn:aws:ecr:{IN_REGION}:repository/rates-dev/messages"
SETTINGS = {
    "name": "rates", "environment": "dev", "repository": "example/rates", "region": "eu-west-1",
    "account_id": ACCOUNT, "state": {"bucket": "rates-state", "key": "rates/dev.tfstate"},
}  # fmt: skip

# Action, resource, and what IAM knows of the request.
READS = [
    ("s3:ListBucket", STATE, {"s3:prefix": "rates/dev.tfstate"}),
    ("s3:GetObject", f"{STATE}/rates/dev.tfstate", {}),
    ("s3:PutObject", f"{STATE}/rates/dev.tfstate.tflock", {}),
    ("s3:DeleteObject", f"{STATE}/rates/dev.tfstate.tflock", {}),
    ("ec2:DescribeVpcs", "*", {}),
    ("ecs:DescribeServices", f"arn:aws:ecs:{IN_REGION}:service/rates-dev/rates-dev-rates", {}),
    ("rds:DescribeDBInstances", "*", {}),
    ("iam:GetRole", TASK_ROLE, {}),
    ("s3:GetBucketPolicy", f"arn:aws:s3:::rates-dev-alb-logs-{ACCOUNT}-eu-west-1", {}),
    (
        "secretsmanager:DescribeSecret",
        f"arn:aws:secretsmanager:{IN_REGION}:secret:rates-dev-database-app-x",
        {},
    ),
]
DEPLOYS = [
    ("s3:PutObject", f"{STATE}/rates/dev.tfstate", {}),
    ("ecr:GetAuthorizationToken", "*", {}),
    ("ecr:BatchGetImage", IMAGES, {}),
    ("ecr:InitiateLayerUpload", IMAGES, {}),
    ("ecr:UploadLayerPart", IMAGES, {}),
    ("ecr:CompleteLayerUpload", IMAGES, {}),
    ("ecr:PutImage", IMAGES, {}),
    ("ecs:RegisterTaskDefinition", "*", {}),
    ("ecs:TagResource", f"arn:aws:ecs:{IN_REGION}:task-definition/rates-dev-rates:7", {}),
    ("iam:PassRole", TASK_ROLE, {"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
    (
        "ecs:RunTask",
        f"arn:aws:ecs:{IN_REGION}:task-definition/rates-dev-migrate:7",
        {"ecs:cluster": CLUSTER},
    ),
    ("ecs:StopTask", f"arn:aws:ecs:{IN_REGION}:task/rates-dev/abc", {}),
    (
        "logs:GetLogEvents",
        f"arn:aws:logs:{IN_REGION}:log-group:/rates-dev-migrate:log-stream:app/app/abc",
        {},
    ),
    ("ecs:UpdateService", f"arn:aws:ecs:{IN_REGION}:service/rates-dev/rates-dev-rates", {}),
]
# What neither may do.
REFUSED = [
    ("s3:GetObject", f"{STATE}/rates/prod.tfstate", {}),
    ("s3:PutObject", f"{STATE}/rates/prod.tfstate", {}),
    ("s3:ListBucket", STATE, {"s3:prefix": "rates/prod.tfstate"}),
    ("s3:GetObject", f"arn:aws:s3:::rates-dev-alb-logs-{ACCOUNT}-eu-west-1/AWSLogs/1", {}),
    (
        "secretsmanager:GetSecretValue",
        f"arn:aws:secretsmanager:{IN_REGION}:secret:rates-dev-database-app-x",
        {},
    ),
    ("iam:PutRolePolicy", TASK_ROLE, {}),
    ("iam:CreateRole", TASK_ROLE, {}),
    ("iam:PassRole", TASK_ROLE, {"iam:PassedToService": "lambda.amazonaws.com"}),
    (
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/pipeline-rates-dev-deploy-eu-west-1",
        {"iam:PassedToService": "ecs-tasks.amazonaws.com"},
    ),
    ("ecs:UpdateService", f"arn:aws:ecs:{IN_REGION}:service/rates-prod/rates-prod-rates", {}),
    (
        "ecs:RunTask",
        f"arn:aws:ecs:{IN_REGION}:task-definition/rates-dev-migrate:7",
        {"ecs:cluster": f"arn:aws:ecs:{IN_REGION}:cluster/rates-prod"},
    ),
    ("ecr:PutImage", f"arn:aws:ecr:{IN_REGION}:repository/rates-prod/rates", {}),
    ("ecr:BatchDeleteImage", IMAGES, {}),
    ("rds:DeleteDBInstance", f"arn:aws:rds:{IN_REGION}:db:rates-dev", {}),
    ("rds:ModifyDBInstance", f"arn:aws:rds:{IN_REGION}:db:rates-dev", {}),
    ("ec2:AuthorizeSecurityGroupIngress", "*", {}),
    ("ecs:ExecuteCommand", f"arn:aws:ecs:{IN_REGION}:task/rates-dev/abc", {}),
    ("logs:GetLogEvents", f"arn:aws:logs:{IN_REGION}:log-group:/rates-dev/vpc-flow:log-stream:x", {}),
]


def listed(value):
    return value if isinstance(value, list) else [value]


def matches(pattern, text):
    # Only * and ? are special to IAM.
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def holds(condition, context):
    for operator, tests in condition.items():
        assert operator in ("StringEquals", "StringLike", "ArnEquals"), f"the test does not know {operator}"
        for key, wanted in tests.items():
            found = context.get(key)
            if found is None or not any(matches(pattern, found) for pattern in listed(wanted)):
                return False
    return True


def is_allowed(statements, action, resource, context):
    assert all(statement["Effect"] == "Allow" for statement in statements)
    return any(
        any(matches(pattern.lower(), action.lower()) for pattern in listed(statement["Action"]))
        and any(matches(pattern, resource) for pattern in listed(statement["Resource"]))
        and holds(statement.get("Condition", {}), context)
        for statement in statements
    )


@pytest.fixture(scope="module")
def statements(stand_in, tmp_path_factory):
    module = copy_configuration(tmp_path_factory.mktemp("oidc")) / "terraform" / "modules" / "oidc"
    (module / "test.auto.tfvars.json").write_text(json.dumps(SETTINGS))
    (module / "provider.tf").write_text('provider "aws" {\n  region = "eu-west-1"\n}\n')
    terraform = Terraform(module)
    terraform.succeed("init", "-input=false")
    terraform.succeed("plan", "-input=false", "-out=plan")
    changes = terraform.json("show", "-json", "plan")["resource_changes"]
    policies = {
        r["index"]: r["change"]["after"]["policy"] for r in changes if r["type"] == "aws_iam_role_policy"
    }
    return {role: json.loads(policy)["Statement"] for role, policy in policies.items()}


@pytest.mark.parametrize("request_", READS, ids=lambda r: r[0])
@pytest.mark.parametrize("role", ["plan", "deploy"])
def test_both_roles_read(statements, role, request_):
    assert is_allowed(statements[role], *request_)


@pytest.mark.parametrize("request_", DEPLOYS, ids=lambda r: r[0])
def test_deploy_alone_deploys(statements, request_):
    assert is_allowed(statements["deploy"], *request_)
    assert not is_allowed(statements["plan"], *request_)


@pytest.mark.parametrize("request_", REFUSED, ids=lambda r: f"{r[0]} {r[1]}")
@pytest.mark.parametrize("role", ["plan", "deploy"])
def test_neither_does_more(statements, role, request_):
    assert not is_allowed(statements[role], *request_)


def test_every_statement_of_deploy_is_needed_by_a_step(statements):
    for statement in statements["deploy"]:
        assert any(is_allowed([statement], *request) for request in READS + DEPLOYS), statement["Sid"]
