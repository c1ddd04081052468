"""The stand-ins in stubs/: what they answer, and what they were called with."""

import json
import os
from pathlib import Path

STUBS = Path(__file__).parent / "stubs"
PASSWORD = "hunter2hunter2hunter2"
TASK = "arn:aws:ecs:eu-west-1:1:task/c/t1"


def task(status, **container):
    return {"tasks": [{"lastStatus": status, "containers": [{"name": "app", **container}]}]}


def service(definition):
    return {"services": [{"taskDefinition": definition, "events": [{"message": "last words"}]}]}


def deployments(*each):
    """Deployments of a service, the oldest first: the revision of each and its status."""
    return {
        "serviceDeployments": [
            {
                "serviceDeploymentArn": f"arn/d{n}",
                "createdAt": f"2026-11-0{n}T00:00:00+00:00",
                "targetServiceRevisionArn": revision,
                "status": status,
                "statusReason": "why",
            }
            for n, (revision, status) in enumerate(each, 1)
        ]
    }


def revision(definition):
    return {"serviceRevisions": [{"taskDefinition": definition}]}


class StubAws:
    """A directory of answers that the stand-in for the aws command reads; see stubs/aws."""

    def __init__(self, directory):
        self.directory = directory
        self.environment = {
            **os.environ,
            "STUB_DIR": str(directory),
            "PATH": f"{STUBS}{os.pathsep}{os.environ['PATH']}",
        }
        self.forget_calls()
        log = {"awslogs-group": "/group", "awslogs-stream-prefix": "app"}
        container = {"name": "app", "image": "r/rates:old", "logConfiguration": {"options": log}}
        definition = {"taskDefinitionArn": "arn/s:2", "containerDefinitions": [container]}
        self.answer("ecs-describe-task-definition", {"taskDefinition": definition})
        self.answer("ecs-run-task", {"tasks": [{"taskArn": TASK}], "failures": []})
        self.answer("ecs-describe-tasks", task("RUNNING"), task("STOPPED", exitCode=0))
        self.answer(
            "logs-get-log-events",
            {"events": [{"message": "first line"}], "nextForwardToken": "f/1"},
            {"events": [], "nextForwardToken": "f/1"},
        )
        self.answer("secretsmanager-get-random-password", {"RandomPassword": PASSWORD})

    def answer(self, kind, *documents):
        """The first call of a kind gets the first document, and so on; further calls get the last."""
        for old in [*self.directory.glob(f"{kind}.[0-9]*"), self.directory / f"{kind}.count"]:
            old.unlink(missing_ok=True)
        for number, document in enumerate(documents, 1):
            (self.directory / f"{kind}.{number}").write_text(json.dumps(document))

    def fail(self, kind):
        (self.directory / f"{kind}.fails").touch()

    def works_again(self, kind):
        (self.directory / f"{kind}.fails").unlink(missing_ok=True)

    def received(self, kind):
        """What the last call of a kind was sent through its standard input."""
        return json.loads((self.directory / f"{kind}.stdin").read_text())

    def forget_calls(self):
        (self.directory / "calls").write_text("")

    @property
    def calls(self):
        return (self.directory / "calls").read_text().splitlines()

    def called(self, text):
        return any(text in call for call in self.calls)

    def verbs(self, *wanted):
        """The wanted verbs of aws, in the order they were called."""
        verbs = [call.split()[2] for call in self.calls if call.startswith("aws ")]
        return [verb for verb in verbs if verb in wanted]
