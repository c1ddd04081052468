"""A failing hook fails the apply, and the steps after it do not run."""

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


@pytest.mark.parametrize(
    ("call", "script", "step"),
    [
        ("secretsmanager-put-secret-value", "database_password", "password"),
        ("build", "build_push_docker_image.sh", "build"),
    ],
)
def test_no_migration_runs_after_a_failed_step(root, call, script, step):
    root.aws.fail(call)
    root.refuse_to_apply(script, "abc123")
    root.aws.works_again(call)
    assert step in root.steps()
    assert "task" not in root.steps()


def test_no_service_starts_after_a_failed_migration(root):
    root.aws.answer("ecs-describe-tasks", task("STOPPED", exitCode=1))
    root.refuse_to_apply("failed with exit code 1", "abc123")
    assert not root.runs_a_service()
    # An environment that was created in part can be destroyed.
    root.destroy("abc123")
