"""Every program of this project starts from its applied task definition: the real binary, with that environment and
user, a read-only root and the service's volume, a database and a cache behind TLS. Needs the debug binaries, and root."""

import base64
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from harness import ROOT, need, resources, run, succeed
from hooked_root import HookedRoot

pytestmark = pytest.mark.xdist_group("boot")

HERE = Path(__file__).parent
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"

# Every program in every way in which it can run. Names are those of services, so they are short.
SERVICES = {
    "rates": {"paths": ["/*"], "scaling": {"max": 2}},
    "messages": {"paths": ["/a*"], "priority": 1, "redis": True},
    "msg-file": {
        "repository": "messages", "paths": ["/b*"], "priority": 2, "volume": "/data", "scaling": {"max": 1}
    },
    "transfer": {
        "paths": ["/upload/*"], "priority": 3, "volume": "/data",
        "secrets": {"TRANSFER__RECEIVE__KEY": ARN + "transfer"},
    },
    "multivac": {
        "paths": ["/c*"], "priority": 4, "secrets": {"AUTH_USERS": ARN + "users"}, "scaling": {"max": 2}
    },
    "vac-work": {"repository": "multivac", "command": ["work"], "scaling": {"max": 2}},
    "vac-redis": {
        "repository": "multivac", "paths": ["/d*"], "priority": 5, "redis": True, "scaling": {"max": 2},
        "secrets": {"AUTH_USERS": ARN + "users"},
    },
    "vac-rework": {"repository": "multivac", "command": ["work"], "redis": True, "scaling": {"max": 2}},
    "vac-file": {
        "repository": "multivac", "paths": ["/e*"], "priority": 6, "database": False, "volume": "/data",
        "secrets": {"AUTH_USERS": ARN + "users"}, "scaling": {"max": 1},
    },
}  # fmt: skip
SETTINGS = {
    "run_hooks": False,
    "redis": {},
    "network": {"egress": "nat"},
    "database": {"max_connections": 400, "replicas": 1},
    "observability": {"collector_image": "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3"},
    "services": SERVICES,
}


def as_root():
    if os.geteuid() == 0:
        return []
    return ["sudo", "-n"] if shutil.which("sudo") and run("sudo", "-n", "true").code == 0 else None


def image_environment():
    """What the image itself sets."""
    [block] = re.findall(
        r"^ENV ((?:.*\\\n)*.*)$", (ROOT / "Dockerfile").read_text().split("FROM ")[-1], re.MULTILINE
    )
    return dict(setting.split("=", 1) for setting in block.replace("\\\n", "").split())


class Network:
    """Database and cache, with the names that the definitions have for them."""

    def __init__(self, folder, hosts):
        self.folder, self.etc = folder, folder / "etc"
        (self.etc / "ssl" / "certs").mkdir(parents=True)
        (self.etc / "nsswitch.conf").write_text("hosts: files\n")
        (self.etc / "hosts").write_text(f"127.0.0.1 localhost {' '.join(hosts)}\n")
        self.make_certificate(hosts)
        for name in ("rds-global-bundle.pem", "ca-certificates.crt"):
            shutil.copy(folder / "ca.pem", self.etc / "ssl" / "certs" / name)
        # As RDS has it: the schema's owner may make roles, and is no superuser.
        owner = (
            "create role rates_admin login createrole; alter database rates owner to rates_admin; "
            "alter schema public owner to rates_admin"
        )
        start = f"""
            "$PRIVATE_POSTGRES_BIN/psql" -q -c "$1" >&2
            shift
            exec "$@" "$PGHOST/.s.PGSQL.5432"
        """
        self.process = subprocess.Popen(
            [ROOT / "db" / "private_postgres.sh", "--fast", "--", "bash", "-euc", start, "bash", owner,
             *as_root(), "unshare", "--net", "--", shutil.which("python3"), HERE / "network.py", folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = self.process.stdout.readline()
        assert line, "the network did not start"
        self.enter = [*as_root(), "nsenter", "--net", "--target", line.strip(), "--"]

    def make_certificate(self, hosts):
        def openssl(*arguments):
            succeed("openssl", *arguments, cwd=self.folder)

        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl(
            "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test", "-days", "2"
        )
        openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server")
        names = ",".join(f"DNS:{host}" for host in hosts)
        (self.folder / "names").write_text(f"subjectAltName={names}\n")
        openssl(
            "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "server.pem", "-days", "2", "-extfile", "names",
        )  # fmt: skip

    def status(self, port, path):
        """The status of an answer inside the network; 0 where nobody answers."""
        get = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).status)"
        url = f"http://127.0.0.1:{port}{path}"
        result = run(*self.enter, shutil.which("python3"), "-c", get, url)
        return int(result.stdout) if result.code == 0 else 0

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


class Stack:
    """The applied definitions, and what they run against."""

    def __init__(self, folder):
        root = HookedRoot(folder / "root", f"-var-file={folder / 'settings.json'}")
        root.apply("abc123")
        self.state = resources(root.terraform.json("show", "-json")["values"]["root_module"])
        self.definitions = {
            r["values"]["family"].removeprefix("rates-dev-"): r["values"]
            for r in self.state
            if r["type"] == "aws_ecs_task_definition"
        }
        self.repositories = {
            r["values"]["repository_url"]: r["values"]["name"].split("/")[-1]
            for r in self.state
            if r["type"] == "aws_ecr_repository"
        }
        self.folder = folder
        (folder / "network").mkdir()
        self.network = Network(folder / "network", sorted(set(self.hosts())))
        password = "correct horse battery staple"
        users = subprocess.run(
            [PROGRAMS / "multivac", "user", "add", "alice"],
            input=password,
            text=True,
            capture_output=True,
            check=True,
        )
        self.secrets = {
            "AUTH_USERS": users.stdout.strip(),
            "TRANSFER__RECEIVE__KEY": base64.b64encode(bytes(32)).decode(),
            "DB_USER": "rates_admin",
            "DB_PASSWORD": "secret",
            "DB_APP_PASSWORD": "secret",
        }

    def containers(self, name):
        return json.loads(self.definitions[name]["container_definitions"])

    def environment(self, name):
        container = self.containers(name)[0]
        secrets = {secret["name"]: self.secrets[secret["name"]] for secret in container["secrets"]}
        plain = {setting["name"]: setting["value"] for setting in container["environment"]}
        return image_environment() | plain | secrets

    def hosts(self):
        for name in self.definitions:
            for setting in self.containers(name)[0]["environment"]:
                if setting["name"] in ("DB_HOST", "DB_READ_HOSTS", "MESSAGES_REDIS_HOST"):
                    yield from setting["value"].split(",")
                if setting["name"] == "REDIS_URL":
                    yield re.search("//(.*):", setting["value"])[1]

    def command(self, name, *arguments):
        container = self.containers(name)[0]
        assert container["user"] == "65532:65532" and container["readonlyRootFilesystem"] is True
        program = PROGRAMS / self.repositories[container["image"].removesuffix(":abc123")]
        root = self.folder / "roots" / name
        root.mkdir(parents=True, exist_ok=True)
        volume = path = ""
        for mount in container["mountPoints"]:
            volume, path = self.folder / "volumes" / name, mount["containerPath"]
            volume.mkdir(parents=True, exist_ok=True)
            # As its access point has it.
            succeed(*as_root(), "chown", "65532:65532", volume)
        return [
            *self.network.enter, "unshare", "--mount", "--", HERE / "task.sh",
            root, self.network.etc, program, volume, path,
            *(f"{key}={value}" for key, value in self.environment(name).items()), "--", *arguments,
        ]  # fmt: skip

    def run(self, name):
        """A one-off task, to its end."""
        return run(*self.command(name, *self.containers(name)[0].get("command", [])))


@functools.cache
def missing():
    lacking = [
        name for name in ("rates", "messages", "transfer", "multivac") if not (PROGRAMS / name).exists()
    ]
    if lacking:
        return f"no debug binary of {', '.join(lacking)} in {PROGRAMS}: cargo build -p {' -p '.join(lacking)}"
    if as_root() is None:
        return "booting tasks needs root, or sudo without a password"
    return None


@pytest.fixture(scope="module")
def stack(stand_in, tmp_path_factory):
    if reason := missing():
        pytest.skip(reason)
    need("jq", "nsenter", "unshare", "openssl", "redis-server")
    folder = tmp_path_factory.mktemp("boot")
    (folder / "settings.json").write_text(json.dumps(SETTINGS))
    stack = Stack(folder)
    yield stack
    stack.network.close()


@pytest.fixture(scope="module")
def migrated(stack):
    for task in ("migrate", "migrate-multivac"):
        result = stack.run(task)
        assert result.code == 0, result.text
    return stack


def wait_until(check, process, log):
    deadline = time.monotonic() + 30
    while not check():
        alive = process.poll() is None and time.monotonic() < deadline
        assert alive, f"it {'ended' if process.poll() is not None else 'is not ready'}:\n{log.read_text()}"
        time.sleep(0.2)


@pytest.mark.parametrize("name", SERVICES)
def test_the_program_starts_from_its_definition_is_healthy_and_stops(migrated, name, tmp_path):
    main, collector = migrated.containers(name)
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(word) for word in migrated.command(name, *main.get("command", []))],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        # The container's own check, as ECS runs it.
        kind, program, *arguments = main["healthCheck"]["command"]
        assert (kind, program) == ("CMD", "/usr/local/bin/service")
        wait_until(lambda: run(*migrated.command(name, *arguments)).code == 0, process, log)

        # The port that the collector scrapes. Ready: database and cache answer, a volume can be written.
        [port] = re.findall(
            r"127\.0\.0\.1:(\d+)", collector["environment"][0]["value"].split("scrape_configs")[1]
        )
        assert migrated.network.status(port, "/metrics") == 200
        wait_until(lambda: migrated.network.status(port, "/readyz") == 200, process, log)

        # What the load balancer asks.
        for mapping in main.get("portMappings", []):
            groups = [
                r["values"]
                for r in migrated.state
                if r["address"].startswith(f'module.service["{name}"].aws_lb_target_group')
            ]
            assert mapping["containerPort"] == groups[0]["port"]
            assert migrated.network.status(groups[0]["port"], groups[0]["health_check"][0]["path"]) == 200
    finally:
        # To the program itself: sudo, if any, passes it on.
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=main["stopTimeout"])
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert code == 0, log.read_text()


def test_a_service_whose_volume_takes_one_process_is_one_task_replaced_and_not_joined(stack):
    services = {
        r["values"]["name"].removeprefix("rates-dev-"): r["values"]
        for r in stack.state
        if r["type"] == "aws_ecs_service"
    }
    limits = {
        name: (
            s["deployment_minimum_healthy_percent"],
            s["deployment_maximum_percent"],
            s["availability_zone_rebalancing"],
        )
        for name, s in services.items()
    }
    exclusive = {"msg-file", "vac-file"}
    assert all(limits[name] == (0, 100, "DISABLED") for name in exclusive)
    assert all(limits[name] == (100, 200, "ENABLED") for name in services.keys() - exclusive)
