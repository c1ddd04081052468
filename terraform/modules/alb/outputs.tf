output "url" {
  description = "URL for clients, without a trailing slash."
  value = (
    local.tls
    ? "https://${coalesce(var.listener.domain, aws_lb.this.dns_name)}"
    : "http://${aws_lb.this.dns_name}:${var.listener.port}"
  )
}

output "listener_arn" {
  description = "Listener that services add their rules to."
  value       = local.tls ? aws_lb_listener.https[0].arn : aws_lb_listener.http[0].arn
}

output "security_group_id" {
  description = "Security group of the load balancer; services accept connections only from it."
  value       = aws_security_group.this.id
}

output "arn_suffix" {
  description = "The load balancer's ARN suffix, for CloudWatch."
  value       = aws_lb.this.arn_suffix
}
