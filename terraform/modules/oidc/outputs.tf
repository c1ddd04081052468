output "role_arns" {
  description = "ARNs of the roles: plan, for the drift check, and deploy, for releases."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}
