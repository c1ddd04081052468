"""Playbooks on machines, and clients that count every answer."""

import http.client
import itertools
import json
import re
import shutil
import socket
import ssl
import threading
import time

from conftest import ROOT, run

LANE = "orig_code=CNGGZ&dest_code=EETLL"
MONTH = f"/rates?date_from=2021-01-01&date_to=2021-01-31&{LANE}"


class Site:
    """Machines with an inventory whose variables are those of a sample inventory."""

    def __init__(self, sample, inventory, machines):
        self.machines, self.first = machines, machines[0]
        folder = inventory.parent / sample
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ROOT / "ansible/inventories" / sample / "group_vars", folder / "group_vars")
        self.inventory = folder / "hosts"
        shutil.copy(inventory, self.inventory)

    def set(self, **variables):
        """Sets variables of the inventory."""
        with open(self.inventory.parent / "group_vars/rates.yml", "a") as file:
            file.writelines(f"{name}: {json.dumps(value)}\n" for name, value in variables.items())

    def play(self, playbook, *options):
        """Runs a playbook; returns how many tasks changed something."""
        begun = time.monotonic()
        recap = run("ansible-playbook", "-i", self.inventory, *options, f"{playbook}.yml", cwd=ROOT / "ansible").rpartition("PLAY RECAP")[2]
        changed = sum(map(int, re.findall(r"changed=(\d+)", recap)))
        print(f"{playbook}.yml: {time.monotonic() - begun:.0f} s, changed={changed}", flush=True)
        return changed

    def rates(self, command, machine=None):
        """Runs a command of `rates` as the owner of the tables."""
        return (machine or self.first).run(f"set -a; . /etc/rates/migrate.env; rates {command}")

    def load_sample(self):
        """Loads the sample; returns the key of a supplier."""
        self.first.put(ROOT / "db/rates.sql", "/root/rates.sql")
        self.rates("load /root/rates.sql")
        return self.rates("key create acme 2>/dev/null").strip()

    def get(self, path, machine=None):
        machine = machine or self.first
        connection = http.client.HTTPSConnection(machine.address, context=trust_all(), timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


    def psql(self, sql, machine=None):
        return (machine or self.first).run(f'cd / && runuser -u postgres -- psql -XAtc "{sql}" rates').strip()

    def archive(self, primary=None):
        """Waits until everything that was written is archived."""
        wal = self.psql("select pg_walfile_name(pg_switch_wal())", primary)
        deadline = time.monotonic() + 60
        while self.psql(f"select last_archived_wal >= '{wal}' from pg_stat_archiver", primary) != "t":
            assert time.monotonic() < deadline, "not archived"
            time.sleep(0.5)

    def answers(self):
        """What every machine answers to all questions of `reads`."""
        return [self.get(path, machine) for machine in self.machines for _, path, *_ in itertools.islice(reads(), 28)]


def trust_all():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def start_acme_server(site, challenged):
    """Starts one on the first machine, which asks the machine `challenged` who it is; returns its URL."""
    address = site.first.address
    site.first.run("apt-get update -qq && apt-get install -y -qq --no-install-recommends pebble && mkdir -p /etc/pebble")
    site.first.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=pebble "
        f"-addext subjectAltName=IP:{address} -keyout /etc/pebble/key.pem -out /etc/pebble/certificate.pem"
    )
    listen = {"listenAddress": f"{address}:14000", "managementListenAddress": "127.0.0.1:15000", "httpPort": 80, "tlsPort": 443}
    settings = {"pebble": listen | {"certificate": "/etc/pebble/certificate.pem", "privateKey": "/etc/pebble/key.pem"}}
    site.first.run(f"echo '{json.dumps(settings)}' >/etc/pebble/settings.json")
    dns = f'-defaultIPv4 {challenged.address} -defaultIPv6 "" -http01 "" -https01 "" -tlsalpn01 ""'
    site.first.run(f"systemd-run --unit pebble-dns pebble-challtestsrv {dns}")
    site.first.run("systemd-run --unit pebble pebble -config /etc/pebble/settings.json -dnsserver 127.0.0.1:8053")
    certificate = site.first.run("cat /etc/pebble/certificate.pem")
    for machine in site.machines:
        machine.run(f"echo '{certificate}' >/usr/local/share/ca-certificates/pebble.crt && update-ca-certificates")
    return f"https://{address}:14000/dir"


def serial(site, machine):
    """The number of the certificate that it shows, if that is one of the ACME server."""
    root = site.first.run("curl -fsSk https://127.0.0.1:15000/roots/0")
    shown = machine.run(
        f"echo '{root}' >/tmp/root.pem; echo | openssl s_client -connect 127.0.0.1:443 -servername rates.example.com "
        "-CAfile /tmp/root.pem -verify_return_error -verify_hostname rates.example.com 2>/dev/null | openssl x509 -noout -serial"
    )
    return shown.strip()


def renew_certificate(machine):
    """As the timer does when it is due."""
    machine.run("sed -i 's/.*renew_before_expiry.*/renew_before_expiry = 10000 days/' /etc/letsencrypt/renewal/rates.conf")
    machine.run("grep -q '^renew_before_expiry = 10000' /etc/letsencrypt/renewal/rates.conf && systemctl is-active certbot.timer")
    machine.run("systemctl start certbot")


def next_release(folder, revision):
    """The same programs as another release."""
    run(ROOT / "packaging/build.sh", "--programs", "target/debug", "--revision", revision, "--output", folder, "rates", cwd=ROOT)
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    return f"{version}-{revision}"


class Clients:
    """Clients that send one request after another through the proxies; `answers` has (begun, took, status, tag), with the
    status 0 where no answer came. Use it as a context manager."""

    def __init__(self, addresses, requests, count=4, pause=0.02, timeout=40):
        self.addresses, self.requests, self.count, self.pause, self.timeout = addresses, requests, count, pause, timeout
        self.answers, self.errors, self.is_stopped, self.lock = [], [], False, threading.Lock()

    def __enter__(self):
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(self.count)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_stopped = True
        for thread in self.threads:
            thread.join(self.timeout + 10)
            assert not thread.is_alive(), "a client hangs"

    def _run(self, number):
        connection = None
        addresses = itertools.cycle(self.addresses[number % len(self.addresses) :] + self.addresses[: number % len(self.addresses)])
        address = next(addresses)
        while not self.is_stopped:
            with self.lock:
                method, path, headers, body, tag = next(self.requests)
            begun = time.monotonic()
            try:
                connection = connection or http.client.HTTPSConnection(address, context=trust_all(), timeout=self.timeout)
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(f"{address}: {error!r}")
                status, connection = 0, None
                # As a client of several addresses does.
                address = next(addresses)
            self.answers.append((begun, time.monotonic() - begun, status, tag))
            time.sleep(self.pause)

    def failures(self):
        return [answer for answer in self.answers if answer[2] not in (200, 201)]

    def acknowledged(self):
        return {tag for _, _, status, tag in self.answers if status in (200, 201)}


def reads():
    for day in itertools.cycle(range(1, 29)):
        yield "GET", f"/rates?date_from=2021-01-{day:02}&date_to=2021-01-31&{LANE}", {}, None, None


BATCH_DAY = "2020-01-01"
NUMBERS = itertools.count(1)


def batches(key):
    """A price each, by which the batch can be told, on a lane that nothing else writes."""
    for number in NUMBERS:
        body = f"orig_code,dest_code,day,price\nCNXAM,CAHAL,{BATCH_DAY},{number}\n"
        headers = {"authorization": f"Bearer {key}", "content-type": "text/csv", "idempotency-key": f"hosts-{number}"}
        yield "POST", "/prices", headers, body, number


STORED = f"select price from prices where orig_code = 'CNXAM' and dest_code = 'CAHAL' and day = '{BATCH_DAY}'"


def is_open(address, port):
    try:
        socket.create_connection((address, port), timeout=2).close()
        return True
    except OSError:
        return False
