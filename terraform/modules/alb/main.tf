# The only entry: an application load balancer that sends each request to the service whose rule
# matches, and answers 404 if none does.

locals {
  tls              = var.listener.certificate_arn != null || var.listener.domain != null
  make_certificate = var.listener.domain != null && var.listener.certificate_arn == null
  # The ports open to clients. With TLS, port 80 only redirects.
  open_ports = local.tls ? { https = 443, redirect = 80 } : { http = var.listener.port }
  # One rule per pair of port and address range.
  openings = {
    for pair in setproduct(keys(local.open_ports), var.listener.allowed_cidrs) :
    "${pair[0]} ${pair[1]}" => { port = local.open_ports[pair[0]], cidr = pair[1] }
  }
}

resource "aws_security_group" "this" {
  name        = "${var.name}-alb"
  description = "Load balancer of ${var.name}: clients in, services out"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-alb" }
}

# Each service adds an egress rule for its own security group and port.
resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = { for name, opening in local.openings : name => opening if !strcontains(opening.cidr, ":") }

  security_group_id = aws_security_group.this.id
  description       = "Clients, ${each.key}"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "clients_ipv6" {
  for_each = { for name, opening in local.openings : name => opening if strcontains(opening.cidr, ":") }

  security_group_id = aws_security_group.this.id
  description       = "Clients, ${each.key}"
  cidr_ipv6         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_lb" "this" {
  name               = var.name
  load_balancer_type = "application"
  internal           = var.listener.internal
  ip_address_type    = var.ipv6 ? "dualstack" : "ipv4"
  subnets            = var.subnet_ids
  security_groups    = [aws_security_group.this.id]

  # Protects against request smuggling with header names that RFC 9110 does not allow.
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "defensive"
  # Longer than any request may take, so that the service itself answers slow requests.
  idle_timeout               = 60
  enable_deletion_protection = var.protected

  access_logs {
    enabled = true
    bucket  = aws_s3_bucket.logs.bucket
  }

  # The load balancer tests the bucket when it is created, and fails without the policy.
  depends_on = [aws_s3_bucket_policy.logs]
}

# Exactly one of the two listeners below has the services' rules.

# Plain HTTP, for a first try and for networks that terminate TLS elsewhere.
resource "aws_lb_listener" "http" {
  count = local.tls ? 0 : 1

  load_balancer_arn = aws_lb.this.arn
  port              = var.listener.port
  protocol          = "HTTP"

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "application/json"
      message_body = jsonencode({ error = { code = "not_found", message = "no service answers here" } })
      status_code  = "404"
    }
  }
}

resource "aws_lb_listener" "https" {
  count = local.tls ? 1 : 0

  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  # TLS 1.2 with forward secrecy, and 1.3, with post-quantum key exchange for clients that support it.
  ssl_policy      = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
  certificate_arn = local.make_certificate ? aws_acm_certificate_validation.this[0].certificate_arn : var.listener.certificate_arn

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "application/json"
      message_body = jsonencode({ error = { code = "not_found", message = "no service answers here" } })
      status_code  = "404"
    }
  }
}

resource "aws_lb_listener" "redirect" {
  count = local.tls ? 1 : 0

  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"

    redirect {
      protocol    = "HTTPS"
      port        = "443"
      status_code = "HTTP_301"
    }
  }
}
