"""The drills of docs/aws.md: its commands restore a database and give it the lost one's name, in moto's AWS."""

import os
import urllib.request

import boto3
import pytest
from harness import documented_commands, need, succeed
from moto.server import ThreadedMotoServer

# What the drills ask of Terraform: the security group for the new instance. The rest is not run here.
TERRAFORM = """#!/bin/sh
[ "$1 $2" != 'state show' ] || echo '    id = "'"$SECURITY_GROUP"'"'
"""


RESTORE, SWAP_NAMES = documented_commands("## Restore")
FIND_COPY, RESTORE_COPY = documented_commands("### The loss of a region")


@pytest.fixture
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # What another test has left in this process.
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def environment(endpoint, tmp_path):
    need("aws")
    terraform = tmp_path / "terraform"
    terraform.write_text(TERRAFORM)
    terraform.chmod(0o755)
    return {
        **os.environ,
        "AWS_ENDPOINT_URL": endpoint,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
    }


def prepare(endpoint, environment, region):
    """What apply has made in a region: the network, the database and its parameters. Returns the client of RDS."""
    ec2 = boto3.client("ec2", endpoint_url=endpoint, region_name=region)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{region}{zone}")["Subnet"]["SubnetId"]
        for n, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="rates-prod-database", Description="d", VpcId=vpc)["GroupId"]
    environment["SECURITY_GROUP"] = group
    rds = boto3.client("rds", endpoint_url=endpoint, region_name=region)
    rds.create_db_subnet_group(DBSubnetGroupName="rates-prod", DBSubnetGroupDescription="d", SubnetIds=subnets)
    rds.create_db_parameter_group(
        DBParameterGroupName="rates-prod-postgres17", DBParameterGroupFamily="postgres17", Description="d"
    )
    rds.create_db_instance(
        DBInstanceIdentifier="rates-prod",
        DBInstanceClass="db.m7g.large",
        Engine="postgres",
        AllocatedStorage=100,
        MasterUsername="rates",
        MasterUserPassword="not-a-secret",
        DBSubnetGroupName="rates-prod",
        VpcSecurityGroupIds=[group],
    )
    return rds


def instances(rds):
    return {each["DBInstanceIdentifier"]: each for each in rds.describe_db_instances()["DBInstances"]}


def check_restored(rds, environment):
    """The restored instance has the name, is where the old one was, and cannot be deleted by mistake."""
    found = instances(rds)
    assert set(found) == {"rates-prod", "rates-prod-old"}
    restored = found["rates-prod"]
    assert restored["DeletionProtection"] and restored["MultiAZ"]
    assert restored["DBSubnetGroup"]["DBSubnetGroupName"] == "rates-prod"
    assert [each["VpcSecurityGroupId"] for each in restored["VpcSecurityGroups"]] == [environment["SECURITY_GROUP"]]


def test_the_drill_restores_a_second_of_the_past_under_the_same_name(endpoint, environment):
    rds = prepare(endpoint, environment, "eu-west-1")
    succeed("bash", "-euc", RESTORE + SWAP_NAMES, env=environment)
    check_restored(rds, environment)


def test_the_drill_restores_a_copy_in_another_region(endpoint, environment):
    rds = prepare(endpoint, environment, "eu-central-1")
    # AWS Backup keeps its copy of an instance as a snapshot.
    rds.create_db_snapshot(DBInstanceIdentifier="rates-prod", DBSnapshotIdentifier="awsbackup-copy")
    rds.modify_db_instance(DBInstanceIdentifier="rates-prod", AllocatedStorage=50)
    region, _ = FIND_COPY.split("\n", 1)
    script = "\n".join([region, RESTORE_COPY.replace("SNAPSHOT", "awsbackup-copy"), SWAP_NAMES])
    succeed("bash", "-euc", script, env=environment)
    check_restored(rds, environment)
    assert instances(rds)["rates-prod"]["AllocatedStorage"] == 100
