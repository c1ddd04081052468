"""A hook that fails makes the apply fail, and what depends on it does not happen."""

import pytest
from harness import need
from hooked_root import HookedRoot
from stub_aws import task

pytestmark = pytest.mark.xdist_group("apply failures")


@pytest.fixture(scope="module")
def initialised(stand_in, tmp_path_factory):
    need("jq")
    return HookedRoot(tmp_path_factory.mktemp("failures"))


@pytest.fixture
def root(initialised):
    initialised.forget()
    return initialised


def test_no_migration_without_a_stored_password(root):
    root.aws.fail("secretsmanager-put-secret-value")
    root.refuse_to_apply("database_password", "abc123")
    root.aws.works_again("secretsmanager-put-secret-value")
    assert "password" in root.steps()
    assert "task" not in root.steps()


def test_no_migration_without_its_image(root):
    root.aws.fail("build")
    root.refuse_to_apply("build_push_docker_image.sh", "bad789")
    root.aws.works_again("build")
    assert "build" in root.steps()
    assert "task" not in root.steps()


def test_no_service_without_a_migration(root):
    root.aws.answer("ecs-describe-tasks", task("STOPPED", exitCode=1))
    root.refuse_to_apply("failed with exit code 1", "abc123")
    assert not root.runs_a_service()
    # Half an environment can be destroyed.
    root.destroy("abc123")
