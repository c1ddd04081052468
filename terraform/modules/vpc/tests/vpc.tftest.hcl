mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
  }
}

variables {
  name       = "rates-test"
  region     = "eu-west-1"
  account_id = "123456789012"
}

run "defaults_make_three_layers_in_two_zones" {
  command = plan

  assert {
    condition     = length(aws_subnet.public) == 2 && length(aws_subnet.private) == 2 && length(aws_subnet.data) == 2
    error_message = "expected two subnets in each of three layers"
  }

  assert {
    condition     = length(distinct(concat([for s in aws_subnet.public : s.cidr_block], [for s in aws_subnet.private : s.cidr_block], [for s in aws_subnet.data : s.cidr_block]))) == 6
    error_message = "subnets must not share a range"
  }

  assert {
    condition     = toset([for s in aws_subnet.private : s.availability_zone]) == toset(["eu-west-1a", "eu-west-1b"])
    error_message = "private subnets must be in different zones"
  }

  assert {
    condition     = alltrue([for s in concat(values(aws_subnet.public), values(aws_subnet.private), values(aws_subnet.data)) : s.map_public_ip_on_launch != true])
    error_message = "nothing may get a public address by itself"
  }
}

run "defaults_leave_no_way_to_the_internet" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_route.private_nat) == 0
    error_message = "endpoints need no NAT"
  }

  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["ecr.api", "ecr.dkr", "logs", "secretsmanager"])
    error_message = "tasks need the registry, the log and the secrets"
  }

  assert {
    condition     = aws_vpc_endpoint.interface["logs"].service_name == "com.amazonaws.eu-west-1.logs" && aws_vpc_endpoint.interface["logs"].private_dns_enabled
    error_message = "the endpoint must answer under the service's own name"
  }

  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "image layers come from S3"
  }
}

run "the_default_group_is_emptied" {
  # Rules that are not written are known only once they are applied.
  command = apply

  assert {
    condition     = length(aws_default_security_group.this.ingress) == 0 && length(aws_default_security_group.this.egress) == 0
    error_message = "the network's default group must let nothing in or out"
  }
}

run "endpoints_listen_to_the_network_only" {
  command = plan

  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints_https.cidr_ipv4 == "10.0.0.0/16" && aws_vpc_security_group_ingress_rule.endpoints_https.from_port == 443
    error_message = "endpoints must be reached by HTTPS from inside"
  }
}

run "endpoints_serve_this_account_only" {
  command = plan

  assert {
    condition = alltrue([
      for endpoint in aws_vpc_endpoint.interface : jsondecode(endpoint.policy).Statement[0].Condition.StringEquals["aws:PrincipalAccount"] == "123456789012"
    ])
    error_message = "keys of another account must be of no use in this network"
  }

  assert {
    condition     = jsondecode(aws_vpc_endpoint.s3.policy).Statement[1].Condition.StringEquals["s3:ResourceAccount"] == "123456789012"
    error_message = "nothing may be written to a bucket of another account"
  }

  assert {
    condition     = jsondecode(aws_vpc_endpoint.s3.policy).Statement[0].Resource == "arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*"
    error_message = "layers must be readable; IAM takes no wildcard for the partition"
  }

  assert {
    condition     = jsondecode(aws_iam_role.flow[0].assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012" && aws_iam_role.flow[0].name == "rates-test-vpc-flow-eu-west-1"
    error_message = "the role of flow logs must be this account's and this region's"
  }
}

run "zones_without_fargate_are_left_out" {
  command = plan

  assert {
    condition     = contains(data.aws_availability_zones.available.exclude_zone_ids, "use1-az3")
    error_message = "a zone that lacks Fargate must not be chosen"
  }
}

run "refuses_a_zones_name_for_its_id" {
  command = plan

  variables {
    exclude_zone_ids = ["us-east-1a"]
  }

  expect_failures = [var.exclude_zone_ids]
}

run "one_nat_gateway_serves_every_zone" {
  command = plan

  variables {
    egress = "nat"
    zones  = 3
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.private_nat) == 3
    error_message = "expected one gateway and a route to it in each of three zones"
  }

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 0
    error_message = "with NAT nobody pays for interface endpoints"
  }
}

run "a_nat_gateway_each_zone" {
  command = plan

  variables {
    egress = "nat-per-zone"
    zones  = 3
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(aws_eip.nat) == 3
    error_message = "expected a gateway in each zone"
  }
}

run "flow_logs_are_kept_their_days" {
  command = plan

  assert {
    condition     = aws_flow_log.this[0].traffic_type == "ALL" && aws_cloudwatch_log_group.flow[0].retention_in_days == 30
    error_message = "expected all traffic, for 30 days"
  }
}

run "flow_logs_can_be_left_out" {
  command = plan

  variables {
    flow_log_days = 0
  }

  assert {
    condition     = length(aws_flow_log.this) == 0 && length(aws_iam_role.flow) == 0
    error_message = "expected no flow log and no role for it"
  }
}

run "refuses_a_range_that_is_none" {
  command = plan

  variables {
    cidr = "10.0.0.0"
  }

  expect_failures = [var.cidr]
}

run "refuses_a_range_too_small_for_twelve_subnets" {
  command = plan

  variables {
    cidr = "10.0.0.0/24"
  }

  expect_failures = [var.cidr]
}

run "refuses_one_zone" {
  command = plan

  variables {
    zones = 1
  }

  expect_failures = [var.zones]
}

run "refuses_an_unknown_way_out" {
  command = plan

  variables {
    egress = "public"
  }

  expect_failures = [var.egress]
}

run "refuses_days_cloudwatch_does_not_know" {
  command = plan

  variables {
    flow_log_days = 42
  }

  expect_failures = [var.flow_log_days]
}

run "ipv6_is_for_the_public_subnets" {
  command   = apply
  state_key = "ipv6"

  variables {
    ipv6 = true
  }

  override_resource {
    target = aws_vpc.this
    values = { ipv6_cidr_block = "2001:db8:1234:1a00::/56" }
  }

  assert {
    condition     = [for s in aws_subnet.public : s.ipv6_cidr_block] == ["2001:db8:1234:1a00::/64", "2001:db8:1234:1a01::/64"] && aws_route.public_internet_ipv6[0].destination_ipv6_cidr_block == "::/0"
    error_message = "expected a range for each public subnet, and a route"
  }
}
