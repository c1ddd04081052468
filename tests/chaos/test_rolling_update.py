"""Two instances behind a load balancer are restarted again and again: no request fails."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
from batches import Supplier
from load import Load, lanes
from postgres import free_port
from service import rates, run

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option redispatch
frontend front
    bind 127.0.0.1:{port}
    default_backend instances
backend instances
    option httpchk GET /readyz
{servers}
"""

NGINX = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream instances {{ {servers} keepalive 16; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://instances;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


class Balancer:
    """HAProxy, which asks `/readyz`, or nginx, which takes an instance that refuses connections out by itself."""

    def __init__(self, kind, services, folder):
        self.port = free_port()
        file = Path(folder) / f"{kind}.conf"
        if kind == "haproxy":
            servers = "\n".join(
                f"    server instance{number} 127.0.0.1:{one.port} check port {one.metrics_port}"
                for number, one in enumerate(services)
            )
            file.write_text(HAPROXY.format(port=self.port, servers=servers))
            command = ["haproxy", "-db", "-f", file]
        else:
            servers = " ".join(f"server 127.0.0.1:{one.port} max_fails=0;" for one in services)
            file.write_text(NGINX.format(port=self.port, servers=servers, folder=folder))
            command = ["nginx", "-c", file]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def remove(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


# A newer release may have migrated the database already: the release before goes on serving.
NEWER_MIGRATION = """
insert into _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
values (99990101000000, 'of a newer release', now(), true, '\\x00', 0);
alter table prices add column chaos integer;
"""


@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
def test_no_request_fails_while_instances_are_restarted(kind, database, key, cleanup, report, is_full, tmp_path):
    rounds = 20 if is_full else 1
    instances = [cleanup(rates(database, RATES__SERVER__LAME_DUCK_SECONDS=7)) for _ in range(2)]
    tmp_path.chmod(0o777)
    balancer = cleanup(Balancer(kind, instances, tmp_path))
    time.sleep(3)
    with Load(balancer.port, lanes(), connections=8, rate=700) as reads, Supplier(balancer.port, key) as supplier:
        for number in range(rounds):
            for instance in instances:
                code, _ = instance.terminate()
                assert code == 0, instance.log()
                instance.start()
                # As platforms do, which wait until the new instance has passed some checks.
                time.sleep(5 if kind == "haproxy" else 1)
            if number == rounds // 2:
                database.psql(NEWER_MIGRATION)
    failures = reads.failures() + supplier.failures()
    stored = supplier.check(database)
    run("rates", "verify", DATABASE_URL=database.url())
    report.add(
        f"A rolling update behind {kind} fails no request",
        f"2 instances under reads and batches; restarts of each: {rounds}; a newer release migrates the schema meanwhile",
        f"{len(failures)} of {len(reads.answers) + len(supplier.answers):,} requests failed; {stored} batches stored once",
    )
    assert not failures, failures[:5]
