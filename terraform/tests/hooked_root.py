"""A copy of the root whose terraform apply calls stand-ins for the commands of its hooks."""

import hashlib
import json
import re
import shutil

from harness import Terraform, copy_configuration
from stub_aws import STUBS, StubAws, task

DUMP = b"select 1;\n"
DUMP_TAG = f"data-{hashlib.sha256(DUMP).hexdigest()[:12]}"
DONE = task("STOPPED", exitCode=0)


class HookedRoot:
    def __init__(self, directory, *settings):
        self.settings = ["-input=false", "-no-color", "-var=environment=dev", *settings]
        copy_configuration(directory)
        shutil.copy(STUBS / "build_push_docker_image.sh", directory)
        (directory / "db").mkdir()
        (directory / "db" / "rates.sql").write_bytes(DUMP)
        (directory / "stub").mkdir()
        self.aws = StubAws(directory / "stub")
        # A task is done when it is first looked at: there is nothing to wait for.
        self.aws.answer("ecs-describe-tasks", DONE)
        self.terraform = Terraform(directory / "terraform", **self.aws.environment)
        self.terraform.use_local_backend()

    def apply(self, tag, *settings):
        return self.terraform.succeed(
            "apply", "-auto-approve", *self.settings, f"-var=image_tag={tag}", *settings
        )

    def refuse_to_apply(self, message, tag):
        return self.terraform.refuse(
            message, "apply", "-auto-approve", *self.settings, f"-var=image_tag={tag}"
        )

    def destroy(self, tag):
        self.terraform.succeed("destroy", "-auto-approve", *self.settings, f"-var=image_tag={tag}")
        assert self.terraform.state() == [], "destroy left something behind"

    def has_no_changes(self, tag):
        self.terraform.has_no_changes(*self.settings, f"-var=image_tag={tag}")

    def runs_a_service(self):
        return any("aws_ecs_service" in address for address in self.terraform.state())

    def arguments(self, output, name):
        """The arguments that an output names for a script."""
        return json.loads(self.terraform.succeed("output", "-json", output).stdout)[name].split()

    def definition(self, task):
        """The task definition that the outputs name for a one-off task."""
        arguments = self.arguments("one_off_tasks", task)
        return arguments[arguments.index("--task-definition") + 1]

    def tasks(self):
        """The task definitions that were run, in their order."""
        return re.findall(
            "^aws ecs run-task .*--task-definition ([^ ]+)", "\n".join(self.aws.calls), re.MULTILINE
        )

    def state_file(self):
        return (self.terraform.directory / "terraform.tfstate").read_text()

    def attributes(self, kind):
        """The attributes of every resource of a type, from the state."""
        found = [each for each in json.loads(self.state_file())["resources"] if each["type"] == kind]
        return [instance["attributes"] for each in found for instance in each["instances"]]

    def forget(self):
        """Back to nothing applied and no call made."""
        for path in self.terraform.directory.glob("terraform.tfstate*"):
            path.unlink()
        self.aws.forget_calls()

    def steps(self):
        """What the hooks did, in the order they did it."""
        return [step for step in map(step_of, self.aws.calls) if step]


def step_of(call):
    if call.startswith("build "):
        return "build dump" if " --dump " in call else "build"
    if call.startswith("aws secretsmanager put-secret-value "):
        return "password"
    if call.startswith("aws ecs run-task "):
        return "task"
    return None
