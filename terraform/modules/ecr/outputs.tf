output "repository_url" {
  description = "Repository URL to push to and pull from."
  value       = aws_ecr_repository.this.repository_url
}

output "repository_arn" {
  description = "The repository's ARN, for the execution roles that pull from it."
  value       = aws_ecr_repository.this.arn
}
