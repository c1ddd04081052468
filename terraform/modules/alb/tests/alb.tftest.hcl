mock_provider "aws" {}

variables {
  name       = "rates-test"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-a", "subnet-b"]
}

run "alone_it_speaks_http_on_3000" {
  command = plan

  assert {
    condition     = aws_lb_listener.http[0].port == 3000 && aws_lb_listener.http[0].protocol == "HTTP"
    error_message = "expected HTTP on 3000"
  }

  assert {
    condition     = length(aws_lb_listener.https) == 0 && length(aws_lb_listener.redirect) == 0
    error_message = "without a certificate there is nothing to serve on 443 or to redirect to"
  }

  assert {
    condition     = aws_lb_listener.http[0].default_action[0].type == "fixed-response" && one(aws_lb_listener.http[0].default_action[0].fixed_response).status_code == "404"
    error_message = "what no rule matches must be 404"
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.clients : rule.from_port] == [3000]
    error_message = "only the listener's port may be open"
  }
}

run "it_drops_invalid_headers_and_logs" {
  command = plan

  assert {
    condition     = aws_lb.this.drop_invalid_header_fields && one(aws_lb.this.access_logs).enabled && !aws_lb.this.internal
    error_message = "expected invalid headers dropped and access logged"
  }

  assert {
    condition     = aws_lb.this.enable_deletion_protection == false && aws_s3_bucket.logs.force_destroy
    error_message = "unprotected, it must be possible to destroy"
  }
}

run "protected_it_cannot_be_deleted" {
  command = plan

  variables {
    protected = true
  }

  assert {
    condition     = aws_lb.this.enable_deletion_protection && !aws_s3_bucket.logs.force_destroy
    error_message = "expected deletion refused, and logs kept"
  }
}

run "logs_are_private_encrypted_and_expire" {
  command = plan

  assert {
    condition     = aws_s3_bucket_public_access_block.logs.block_public_acls && aws_s3_bucket_public_access_block.logs.block_public_policy && aws_s3_bucket_public_access_block.logs.ignore_public_acls && aws_s3_bucket_public_access_block.logs.restrict_public_buckets
    error_message = "access logs hold addresses of people"
  }

  assert {
    condition     = one(aws_s3_bucket_lifecycle_configuration.logs.rule).expiration[0].days == 90
    error_message = "expected 90 days"
  }
}

run "with_a_certificate_it_speaks_https_and_redirects" {
  command = plan

  variables {
    listener = {
      certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/1"
      domain          = "rates.example.com"
    }
  }

  assert {
    condition     = length(aws_lb_listener.http) == 0 && aws_lb_listener.https[0].port == 443 && aws_lb_listener.https[0].certificate_arn == "arn:aws:acm:eu-west-1:123456789012:certificate/1"
    error_message = "expected HTTPS on 443 with the certificate given"
  }

  assert {
    condition     = startswith(aws_lb_listener.https[0].ssl_policy, "ELBSecurityPolicy-TLS13-1-2-")
    error_message = "TLS before 1.2 must be refused"
  }

  assert {
    condition     = aws_lb_listener.redirect[0].port == 80 && one(aws_lb_listener.redirect[0].default_action[0].redirect).protocol == "HTTPS"
    error_message = "80 must redirect"
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.clients : rule.from_port]) == toset([443, 80])
    error_message = "443 and 80 must be open, and no other"
  }

  assert {
    condition     = length(aws_acm_certificate.this) == 0 && length(aws_route53_record.this) == 0
    error_message = "a certificate that is given is not made, and without a zone no name is"
  }

  assert {
    condition     = output.url == "https://rates.example.com"
    error_message = "clients must call the name on the certificate"
  }
}

run "with_a_domain_it_makes_the_certificate_and_the_name" {
  command = plan

  variables {
    listener = {
      domain  = "rates.example.com"
      zone_id = "Z1"
    }
  }

  assert {
    condition     = aws_acm_certificate.this[0].domain_name == "rates.example.com" && length(aws_acm_certificate_validation.this) == 1
    error_message = "expected a certificate, validated"
  }

  assert {
    condition     = aws_route53_record.this["A"].type == "A" && aws_route53_record.this["A"].name == "rates.example.com"
    error_message = "the name must point here"
  }
}

run "the_firewall_is_left_out_unless_asked_for" {
  command = plan

  assert {
    condition     = length(aws_wafv2_web_acl.this) == 0 && length(aws_wafv2_web_acl_association.this) == 0
    error_message = "expected no firewall"
  }
}

run "the_firewall_has_a_rate_rule_and_the_managed_ones" {
  # A set of blocks has no length before it is applied.
  command = apply

  variables {
    waf_rate_limit = 2000
  }

  assert {
    condition     = toset([for rule in aws_wafv2_web_acl.this[0].rule : rule.name]) == toset(concat(["rate"], local.managed_rules)) && length(aws_wafv2_web_acl.this[0].rule) == 4 && length(aws_wafv2_web_acl_association.this) == 1
    error_message = "expected the rate rule and three managed groups"
  }

  assert {
    condition     = length(distinct([for rule in aws_wafv2_web_acl.this[0].rule : rule.priority])) == 4
    error_message = "priorities must differ"
  }
}

run "only_the_ranges_allowed_come_in" {
  command = plan

  variables {
    listener = { allowed_cidrs = ["203.0.113.0/24", "198.51.100.7/32"] }
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.clients : rule.cidr_ipv4]) == toset(["203.0.113.0/24", "198.51.100.7/32"])
    error_message = "expected the two ranges"
  }
}

run "refuses_a_name_too_long" {
  command = plan

  variables {
    name = "rates-with-a-name-that-is-longer-than-32"
  }

  expect_failures = [var.name]
}

run "refuses_a_single_subnet" {
  command = plan

  variables {
    subnet_ids = ["subnet-a"]
  }

  expect_failures = [var.subnet_ids]
}

run "refuses_port_0" {
  command = plan

  variables {
    listener = { port = 0 }
  }

  expect_failures = [var.listener]
}

run "refuses_a_certificate_that_is_none" {
  command = plan

  variables {
    listener = { certificate_arn = "my-certificate" }
  }

  expect_failures = [var.listener]
}

run "refuses_a_zone_without_a_domain" {
  command = plan

  variables {
    listener = { zone_id = "Z1" }
  }

  expect_failures = [var.listener]
}

run "refuses_a_domain_without_zone_or_certificate" {
  command = plan

  variables {
    listener = { domain = "rates.example.com" }
  }

  expect_failures = [var.listener]
}

run "refuses_a_range_that_is_none" {
  command = plan

  variables {
    listener = { allowed_cidrs = ["everybody"] }
  }

  expect_failures = [var.listener]
}

run "refuses_a_rate_below_what_waf_takes" {
  command = plan

  variables {
    waf_rate_limit = 9
  }

  expect_failures = [var.waf_rate_limit]
}

run "refuses_to_keep_logs_no_day" {
  command = plan

  variables {
    access_log_days = 0
  }

  expect_failures = [var.access_log_days]
}

run "internal_it_is_not_on_the_internet" {
  command = plan

  variables {
    listener = { internal = true, allowed_cidrs = ["10.0.0.0/8"] }
  }

  assert {
    condition     = aws_lb.this.internal && [for rule in aws_vpc_security_group_ingress_rule.clients : rule.cidr_ipv4] == ["10.0.0.0/8"]
    error_message = "expected no public address"
  }
}

run "clients_connect_by_ipv6" {
  command = plan

  variables {
    ipv6     = true
    listener = { domain = "rates.example.com", zone_id = "Z1", certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/1", allowed_cidrs = ["0.0.0.0/0", "::/0"] }
  }

  assert {
    condition     = aws_lb.this.ip_address_type == "dualstack" && toset(keys(aws_route53_record.this)) == toset(["A", "AAAA"])
    error_message = "expected addresses and names of both kinds"
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.clients_ipv6 : rule.from_port]) == toset([80, 443]) && length(aws_vpc_security_group_ingress_rule.clients) == 2
    error_message = "expected both ports to be open to both kinds"
  }
}
