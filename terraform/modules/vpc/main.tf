# The network: three layers of subnets in two or three zones. Public subnets are for the load balancer only, private
# ones for tasks, and data ones for the database, which has no route out of the network.

# Excludes zones that need an opt-in: those are local zones, which may lack Fargate and RDS.
data "aws_availability_zones" "available" {
  state = "available"

  # Zones without Fargate.
  exclude_zone_ids = var.exclude_zone_ids

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  # Fixed keys, so that a plan does not depend on the order in which AWS lists the zones.
  zones = { for i in range(var.zones) : substr("abc", i, 1) => i }
  nat_zones = {
    endpoints      = {}
    nat            = { a = 0 }
    "nat-per-zone" = local.zones
  }[var.egress]
}

resource "aws_vpc" "this" {
  cidr_block = var.cidr
  # Of AWS's own range, a /56.
  assign_generated_ipv6_cidr_block = var.ipv6
  # Interface endpoints need both to work under AWS's host names.
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

# The default security group of a VPC lets its members talk to each other. It is emptied, so that a resource without an
# explicit group can reach nothing.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-default-unused" }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = var.name }
}

# For the load balancer and NAT gateways only. Nothing started here gets a public address by default.
resource "aws_subnet" "public" {
  for_each = local.zones

  vpc_id                  = aws_vpc.this.id
  availability_zone       = data.aws_availability_zones.available.names[each.value]
  cidr_block              = cidrsubnet(var.cidr, 4, each.value)
  ipv6_cidr_block         = var.ipv6 ? cidrsubnet(aws_vpc.this.ipv6_cidr_block, 8, each.value) : null
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-public-${each.key}" }
}

# For tasks: egress through endpoints or NAT, ingress only from the load balancer.
resource "aws_subnet" "private" {
  for_each = local.zones

  vpc_id            = aws_vpc.this.id
  availability_zone = data.aws_availability_zones.available.names[each.value]
  cidr_block        = cidrsubnet(var.cidr, 4, 4 + each.value)

  tags = { Name = "${var.name}-private-${each.key}" }
}

# For the database: tasks can reach it, and it can reach nothing.
resource "aws_subnet" "data" {
  for_each = local.zones

  vpc_id            = aws_vpc.this.id
  availability_zone = data.aws_availability_zones.available.names[each.value]
  cidr_block        = cidrsubnet(var.cidr, 4, 8 + each.value)

  tags = { Name = "${var.name}-data-${each.key}" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-public" }
}

resource "aws_route" "public_internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route" "public_internet_ipv6" {
  count = var.ipv6 ? 1 : 0

  route_table_id              = aws_route_table.public.id
  destination_ipv6_cidr_block = "::/0"
  gateway_id                  = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  for_each = local.zones

  subnet_id      = aws_subnet.public[each.key].id
  route_table_id = aws_route_table.public.id
}

# One table per zone, so that a change from one NAT gateway to one per zone changes only routes.
resource "aws_route_table" "private" {
  for_each = local.zones

  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route_table_association" "private" {
  for_each = local.zones

  subnet_id      = aws_subnet.private[each.key].id
  route_table_id = aws_route_table.private[each.key].id
}

# Has no routes, so the data subnets can reach only the VPC.
resource "aws_route_table" "data" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-data" }
}

resource "aws_route_table_association" "data" {
  for_each = local.zones

  subnet_id      = aws_subnet.data[each.key].id
  route_table_id = aws_route_table.data.id
}
