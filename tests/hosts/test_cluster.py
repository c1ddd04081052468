"""site.yml on three fresh machines, one of which then dies, or is cut off, while batches come in."""

import itertools
import json
import time

import pytest
from conftest import fresh_machines
from playbooks import STORED, Clients, Site, batches, reads, renew_certificate, serial, start_acme_server


@pytest.fixture(scope="module")
def site():
    site = Site("three", *fresh_machines(3))
    # The ACME server always asks the last machine.
    site.set(proxy_acme=True, proxy_acme_directory=start_acme_server(site, site.machines[-1]))
    site.play("site")
    site.key = site.load_sample()
    return site


def members(machine):
    """The state of each machine as Patroni sees it."""
    cluster = json.loads(machine.run("curl -fsS http://$(hostname -I | cut -d ' ' -f 1):8008/cluster"))
    return {member["name"]: member for member in cluster["members"]}


def primary(site, machines=None):
    for machine in machines or site.machines:
        if machine.status("curl -fsS http://$(hostname -I | cut -d ' ' -f 1):8008/primary") == 0:
            return machine
    return None


def wait(what, condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def is_whole(site):
    """One leader, and two replicas that stream, one of which is synchronous."""
    try:
        states = sorted((member["role"], member["state"]) for member in members(site.machines[0]).values())
    except AssertionError:
        return False
    return [role for role, _ in states] == ["leader", "replica", "sync_standby"] and all(
        state in ("running", "streaming") for _, state in states
    )


def stored_on(site, machine):
    """What its database has; something else while it restarts, as one does that leaves its own timeline."""
    try:
        return tuple(sorted(site.psql(STORED, machine).split()))
    except AssertionError:
        return machine.name


def lose_the_primary(site, lose, give_back):
    wait("the cluster is not whole", lambda: is_whole(site), 120)
    lost = primary(site)
    rest = [machine for machine in site.machines if machine is not lost]
    addresses = [machine.address for machine in rest]
    # What an instance has in its cache it can send without a primary; it has every question of the readers.
    for machine in rest:
        for _, path, *_ in itertools.islice(reads(), 28):
            assert site.get(path, machine)[0] == 200
    with (
        Clients(addresses, reads(), 4) as readers,
        Clients(addresses, batches(site.key), 2, 0.05, timeout=10) as suppliers,
    ):
        time.sleep(5)
        moment = time.monotonic()
        lose(lost)
        wait("no new primary", lambda: primary(site, rest), 60)
        time.sleep(20)
        # What a cut off primary would accept is lost: it must accept nothing.
        give_back(lost)
        time.sleep(5)
    written = [begun + took for begun, took, status, _ in suppliers.answers if status == 201 and begun > moment]
    assert written, "no batch was stored without it"
    gap = max(later - earlier for earlier, later in zip([moment, *written], written))
    failed = readers.failures()
    slowest = max(answer[1] for answer in readers.answers)
    print(
        f"{lost.name} lost: writes stopped for {gap:.1f} s; {len(failed)} of {len(readers.answers)} reads "
        f"failed, slowest {slowest:.1f} s; {len(suppliers.failures())} of {len(suppliers.answers)} batches failed",
        flush=True,
    )
    wait("it does not come back as a replica", lambda: is_whole(site), 180)
    assert primary(site) is not lost
    stored = [int(price) for price in site.psql(STORED, primary(site)).split()]
    assert len(stored) == len(set(stored)), "a batch is stored twice"
    assert suppliers.acknowledged() <= set(stored), "an acknowledged batch is lost"
    assert gap < 30
    assert not failed, (failed[:3], readers.errors[:3])
    wait("the machines have different data", lambda: len({stored_on(site, machine) for machine in site.machines}) == 1, 120)
    site.rates("verify", site.machines[0])


def test_a_second_run_changes_nothing(site):
    assert site.play("site") == 0


def test_each_machine_has_a_certificate_of_its_own_and_renews_it(site):
    before = [serial(site, machine) for machine in site.machines]
    assert len(set(before)) == 3
    renew_certificate(site.machines[1])
    assert serial(site, site.machines[1]) not in before


def test_writes_go_on_when_the_primary_loses_power(site):
    lose_the_primary(site, lambda machine: machine.kill(), lambda machine: machine.boot())


def test_writes_go_on_when_the_primary_is_cut_off(site):
    lose_the_primary(site, lambda machine: machine.cut(), lambda machine: machine.heal())


def test_a_destroyed_cluster_is_restored(site):
    # After the primary has changed twice: its successors archive, too.
    site.machines[-1].run("systemctl start pgbackrest-backup@incr && systemctl is-active pgbackrest-full.timer pgbackrest-incr.timer")
    with Clients([site.first.address], batches(site.key), 1) as supplier:
        time.sleep(2)
    assert not supplier.failures()
    site.archive(primary(site))
    before, stored = site.answers(), site.psql(STORED, primary(site))
    for machine in site.machines:
        machine.run("systemctl stop patroni && rm -rf /var/lib/postgresql/15/main")
    site.play("restore")
    wait("the cluster is not whole", lambda: is_whole(site), 120)
    site.rates("verify")
    assert site.answers() == before
    wait("the machines have different data", lambda: {stored_on(site, machine) for machine in site.machines} == {tuple(sorted(stored.split()))}, 60)


def test_a_mistake_is_undone_by_returning_to_a_moment(site):
    before = site.answers()
    moment = site.psql("select now()")
    time.sleep(1)
    site.psql("delete from prices", primary(site))
    site.archive(primary(site))
    site.play("restore", "-e", f"backup_target='{moment}'")
    wait("the cluster is not whole", lambda: is_whole(site), 120)
    site.rates("verify")
    assert site.answers() == before
    # The next backup continues from here.
    site.machines[-1].run("systemctl start pgbackrest-backup@incr")
