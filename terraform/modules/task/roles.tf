# Two roles, apart: the execution role belongs to ECS, which pulls the image, reads the secrets and opens the log
# before the container starts; the task role belongs to the container, and starts out with nothing.

locals {
  assume = {
    Effect    = "Allow"
    Action    = "sts:AssumeRole"
    Principal = { Service = "ecs-tasks.amazonaws.com" }
  }

  # ARN:KEY:: names one key; permissions know whole secrets only.
  secret_arns = sort(distinct([for value in values(var.secrets) : replace(value, "/:[^:]+::$/", "")]))

  execution_statements = [
    {
      when      = true
      actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
    },
    {
      # A login to the registry is for the whole of it; what may be pulled is said below.
      when      = length(var.repository_arns) > 0
      actions   = ["ecr:GetAuthorizationToken"]
      resources = ["*"]
    },
    {
      when      = length(var.repository_arns) > 0
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = var.repository_arns
    },
    {
      when      = length(var.secrets) > 0
      actions   = ["secretsmanager:GetSecretValue"]
      resources = local.secret_arns
    },
  ]

  task_statements = [
    {
      # ECS Exec opens its channel with the task's own permissions. These actions know no resources.
      when      = var.exec != null
      actions   = ["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel", "logs:DescribeLogGroups"]
      resources = ["*"]
    },
    {
      when      = var.exec != null
      actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      resources = [for exec in [var.exec] : "${exec.log_group_arn}:*" if exec != null]
    },
    {
      when      = var.volume != null
      actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
      resources = aws_efs_file_system.this[*].arn
    },
    {
      # The collector writes metrics as log lines, which CloudWatch reads as metrics.
      when      = var.collector != null
      actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
    },
    {
      # X-Ray's actions know no resources either.
      when      = var.collector != null
      actions   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"]
      resources = ["*"]
    },
  ]
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution-${var.region}"
  description        = "ECS starting ${var.name}: image, secrets, logs"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [local.assume] })
}

resource "aws_iam_role_policy" "execution" {
  name = "start"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for s in local.execution_statements : { Effect = "Allow", Action = s.actions, Resource = s.resources } if s.when]
  })
}

resource "aws_iam_role" "task" {
  name        = "${var.name}-task-${var.region}"
  description = "What the containers of ${var.name} may do"

  # For tasks of this account only, not on behalf of somebody else. AWS documents the condition for this role alone.
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [merge(local.assume, { Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } } })]
  })
}

# No policy at all when the containers need nothing: IAM refuses an empty one.
resource "aws_iam_role_policy" "task" {
  count = var.exec != null || var.volume != null || var.collector != null ? 1 : 0

  name = "run"
  role = aws_iam_role.task.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for s in local.task_statements : { Effect = "Allow", Action = s.actions, Resource = s.resources } if s.when]
  })
}
