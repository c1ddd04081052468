"""The S3 backend and its lock against moto, an AWS that runs in this process."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time

import boto3
import pytest
from harness import SCRIPTS, Terraform, copy_configuration, need, succeed
from moto.server import ThreadedMotoServer

# A part of the root that is quickly applied.
CLUSTER = ["-var=environment=dev", "-var=image_tag=abc123", "-var=run_hooks=false", "-target=module.ecs"]
APPLY = ["apply", "-no-color", "-auto-approve", "-input=false", *CLUSTER]

pytestmark = pytest.mark.xdist_group("backend")


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def settings(endpoint):
    """What a test needs besides what backend.hcl says: moto in the place of AWS."""
    services = ",".join(f'{name}="{endpoint}"' for name in ("s3", "sts", "iam"))
    return ["-backend-config=use_path_style=true", f"-backend-config=endpoints={{{services}}}"]


@pytest.fixture(scope="module")
def bucket_state(stand_in, endpoint, tmp_path_factory):
    """Applied, with its state still in a file, and its bucket in moto."""
    directory = copy_configuration(tmp_path_factory.mktemp("backend"))
    terraform = Terraform(directory / "bucket-state")
    terraform.succeed("init", "-input=false")
    terraform.succeed("apply", "-auto-approve", "-input=false")
    # The provider does not talk to moto, so the bucket is made here, under the name that the root gives it.
    bucket = terraform.succeed("output", "-raw", "bucket").stdout
    s3 = boto3.client("s3", endpoint_url=endpoint)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    by_kms = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=by_kms)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return terraform


@pytest.fixture(scope="module")
def migrated(bucket_state, settings):
    succeed(bucket_state.directory / "migrate.sh", *settings)
    return bucket_state


@pytest.fixture(scope="module")
def terraform(migrated, settings):
    """The root, with its state in the bucket."""
    terraform = Terraform(migrated.directory.parent / "terraform")
    backend = ["-backend-config=../bucket-state/backend.hcl", "-backend-config=key=rates/dev.tfstate"]
    terraform.succeed("init", "-input=false", *backend, *settings)
    return terraform


@contextlib.contextmanager
def apply_that_waits_for_an_answer(terraform, log):
    """An apply that holds the lock while it asks a question. It is killed and never gives the lock back."""
    command = terraform.command("apply", "-no-color", *CLUSTER)
    with log.open("w") as output:
        holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )
    try:
        for _ in range(600):
            if "Enter a value" in log.read_text():
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"the apply never asked:\n{log.read_text()}")
        yield
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdin.close()


def test_bucket_state_moves_its_own_state_into_the_bucket(migrated, endpoint):
    assert migrated.state()
    bucket = migrated.succeed("output", "-raw", "bucket").stdout
    objects = boto3.client("s3", endpoint_url=endpoint).list_objects_v2(Bucket=bucket)["Contents"]
    assert "bucket-state.tfstate" in [each["Key"] for each in objects]


def test_the_migration_changes_nothing_and_can_be_run_again(migrated, settings):
    migrated.has_no_changes()
    succeed(migrated.directory / "migrate.sh", *settings)
    migrated.has_no_changes()


def test_a_lock_names_its_holder_outlives_it_and_is_broken_by_its_id_alone(terraform, tmp_path):
    with apply_that_waits_for_an_answer(terraform, tmp_path / "log"):
        refusal = terraform.refuse("Error acquiring the state lock", *APPLY)
        assert "Who:" in refusal.text
    terraform.refuse("Error acquiring the state lock", "plan", "-no-color", "-input=false", *CLUSTER)
    terraform.refuse("lock", "force-unlock", "-force", "00000000-0000-0000-0000-000000000000")
    lock = re.search(r"\bID: +(\S+)", refusal.text)[1]
    terraform.succeed("force-unlock", "-force", lock)
    terraform.succeed(*APPLY)


def test_the_state_is_encrypted_as_the_bucket_says(migrated, terraform, endpoint):
    terraform.succeed(*APPLY)
    bucket = migrated.succeed("output", "-raw", "bucket").stdout
    s3 = boto3.client("s3", endpoint_url=endpoint)
    for key in ("bucket-state.tfstate", "rates/dev.tfstate"):
        assert s3.head_object(Bucket=bucket, Key=key)["ServerSideEncryption"] == "aws:kms"


def test_a_password_is_made_once_and_rotated_on_request_in_secrets_manager(endpoint):
    need("aws", "jq")
    secrets = boto3.client("secretsmanager", endpoint_url=endpoint)
    arn = secrets.create_secret(Name="app")["ARN"]
    command = [SCRIPTS / "database_password.sh", "--secret", arn, "--username", "rates_app"]

    def login(*arguments):
        succeed(*command, *arguments, env={**os.environ, "AWS_ENDPOINT_URL": endpoint})
        return json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"])

    first = login()
    assert first["username"] == "rates_app"
    assert re.fullmatch("[A-Za-z0-9]{40}", first["password"])
    assert login() == first
    assert login("--rotate")["password"] != first["password"]


def test_an_account_is_prepared_once(endpoint):
    need("aws")
    command = [SCRIPTS / "prepare_account.sh", "--github"]
    environment = {**os.environ, "AWS_ENDPOINT_URL": endpoint}
    assert succeed(*command, env=environment).text.count(": created the ") == 6
    iam = boto3.client("iam", endpoint_url=endpoint)
    assert len(iam.list_roles(PathPrefix="/aws-service-role/")["Roles"]) == 5
    [provider] = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    assert provider["Arn"].endswith(":oidc-provider/token.actions.githubusercontent.com")
    assert succeed(*command, env=environment).text.count("exists already") == 6
