# What ECS may do in a blue/green or canary deployment: put tasks into target groups, and move requests from one to the
# other. AWS keeps the policy, since ECS may need more for new kinds of deployments.

resource "aws_iam_role" "shift" {
  count = local.shifts ? 1 : 0

  name        = "${var.name}-shift-${var.region}"
  description = "Moves the requests to ${var.name} during deployments"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "shift" {
  count = local.shifts ? 1 : 0

  role       = aws_iam_role.shift[0].name
  policy_arn = "arn:${var.partition}:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers"
}
