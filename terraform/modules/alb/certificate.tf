# A certificate for var.listener.domain, renewed by AWS for as long as the validation record stays in the zone.

resource "aws_acm_certificate" "this" {
  count = local.make_certificate ? 1 : 0

  domain_name       = var.listener.domain
  validation_method = "DNS"

  # A listener needs the new certificate before the old one can be deleted.
  lifecycle {
    create_before_destroy = true
  }
}

# One name needs one record, so there is no loop over values that are known only after the request.
resource "aws_route53_record" "validation" {
  count = local.make_certificate ? 1 : 0

  zone_id = var.listener.zone_id
  name    = one(aws_acm_certificate.this[0].domain_validation_options).resource_record_name
  type    = one(aws_acm_certificate.this[0].domain_validation_options).resource_record_type
  records = [one(aws_acm_certificate.this[0].domain_validation_options).resource_record_value]
  ttl     = 300
  # Certificates for the same domain in other regions use the same record.
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  count = local.make_certificate ? 1 : 0

  certificate_arn         = aws_acm_certificate.this[0].arn
  validation_record_fqdns = [aws_route53_record.validation[0].fqdn]
}

resource "aws_route53_record" "this" {
  for_each = var.listener.zone_id == null ? [] : toset(var.ipv6 ? ["A", "AAAA"] : ["A"])

  zone_id = var.listener.zone_id
  name    = var.listener.domain
  type    = each.key

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}
