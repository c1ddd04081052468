output "vpc_id" {
  description = "The network's id."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "Subnets for the load balancer, one a zone."
  value       = [for subnet in aws_subnet.public : subnet.id]
}

output "private_subnet_ids" {
  description = "Subnets for tasks, one a zone."
  value       = [for subnet in aws_subnet.private : subnet.id]
}

output "data_subnet_ids" {
  description = "Subnets for the database and the cache, one a zone, with no route out."
  value       = [for subnet in aws_subnet.data : subnet.id]
}
