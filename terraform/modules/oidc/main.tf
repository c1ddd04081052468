# The roles of a pipeline in GitHub Actions, which proves by a signed token (OIDC) which repository and environment it
# runs for: nobody stores a key. `plan` reads; `deploy` also pushes images, runs the one-off tasks and starts deployments.
# Neither can change a role, a network or a database: those changes are an operator's apply.

locals {
  issuer     = "token.actions.githubusercontent.com"
  deployment = "${var.name}-${var.environment}"
  # Of this environment.
  arn = "arn:${var.partition}:%s:${var.region}:${var.account_id}:%s"

  subjects = {
    plan   = ["repo:${var.repository}:ref:refs/heads/main"]
    deploy = ["repo:${var.repository}:environment:${var.environment}"]
  }

  state = "arn:${var.partition}:s3:::${var.state.bucket}"

  # What terraform plan reads: the state, and everything that is in it.
  read_statements = [
    {
      Sid       = "ListState"
      Effect    = "Allow"
      Action    = "s3:ListBucket"
      Resource  = local.state
      Condition = { StringLike = { "s3:prefix" = [var.state.key, "${var.state.key}.tflock"] } }
    },
    { Sid = "ReadState", Effect = "Allow", Action = "s3:GetObject", Resource = "${local.state}/${var.state.key}" },
    {
      Sid      = "Lock"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
      Resource = "${local.state}/${var.state.key}.tflock"
    },
    {
      # Descriptions: most of these actions know no resources.
      Sid    = "Describe"
      Effect = "Allow"
      Action = [
        "acm:DescribeCertificate", "acm:ListTagsForCertificate",
        "application-autoscaling:Describe*", "application-autoscaling:ListTagsForResource",
        "backup:Describe*", "backup:GetBackup*", "backup:List*",
        "cloudwatch:DescribeAlarms", "cloudwatch:GetDashboard", "cloudwatch:ListTagsForResource",
        "ec2:Describe*",
        "ecr:Describe*", "ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy", "ecr:ListTagsForResource",
        "ecs:Describe*", "ecs:List*",
        "elasticache:Describe*", "elasticache:ListTagsForResource",
        "elasticfilesystem:Describe*", "elasticfilesystem:ListTagsForResource",
        "elasticloadbalancing:Describe*",
        "logs:DescribeLogGroups", "logs:ListTagsForResource",
        "rds:Describe*", "rds:ListTagsForResource",
        "route53:GetChange", "route53:GetHostedZone", "route53:ListResourceRecordSets",
        "secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy",
        "sns:GetSubscriptionAttributes", "sns:GetTopicAttributes", "sns:ListTagsForResource",
        "wafv2:GetWebACL", "wafv2:GetWebACLForResource", "wafv2:ListTagsForResource",
      ]
      Resource = "*"
    },
    {
      Sid      = "ReadRoles"
      Effect   = "Allow"
      Action   = ["iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:ListRolePolicies"]
      Resource = "arn:${var.partition}:iam::${var.account_id}:role/${local.deployment}-*"
    },
    {
      # The settings of the bucket of access logs, not what is in it.
      Sid      = "ReadLogBucket"
      Effect   = "Allow"
      Action   = ["s3:GetAccelerateConfiguration", "s3:GetBucket*", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration", "s3:GetReplicationConfiguration", "s3:ListBucket"]
      Resource = "arn:${var.partition}:s3:::${local.deployment}-alb-logs-*"
    },
  ]

  deploy_statements = [
    { Sid = "WriteState", Effect = "Allow", Action = "s3:PutObject", Resource = "${local.state}/${var.state.key}" },
    # The login to the registry is for the whole of it.
    { Sid = "LogIn", Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" },
    {
      Sid    = "PushImages"
      Effect = "Allow"
      Action = [
        "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
      ]
      Resource = format(local.arn, "ecr", "repository/${local.deployment}/*")
    },
    # Neither knows resources.
    { Sid = "RegisterTasks", Effect = "Allow", Action = ["ecs:DeregisterTaskDefinition", "ecs:RegisterTaskDefinition"], Resource = "*" },
    {
      Sid       = "RunTasks"
      Effect    = "Allow"
      Action    = "ecs:RunTask"
      Resource  = format(local.arn, "ecs", "task-definition/${local.deployment}-*:*")
      Condition = { ArnEquals = { "ecs:cluster" = format(local.arn, "ecs", "cluster/${local.deployment}") } }
    },
    { Sid = "StopTasks", Effect = "Allow", Action = "ecs:StopTask", Resource = format(local.arn, "ecs", "task/${local.deployment}/*") },
    { Sid = "Deploy", Effect = "Allow", Action = "ecs:UpdateService", Resource = format(local.arn, "ecs", "service/${local.deployment}/*") },
    {
      Sid    = "TagTasks"
      Effect = "Allow"
      Action = "ecs:TagResource"
      Resource = [
        format(local.arn, "ecs", "task-definition/${local.deployment}-*:*"),
        format(local.arn, "ecs", "task/${local.deployment}/*"),
      ]
    },
    {
      # Tasks get the roles that an operator made, and nothing else gets them.
      Sid       = "PassRoles"
      Effect    = "Allow"
      Action    = "iam:PassRole"
      Resource  = "arn:${var.partition}:iam::${var.account_id}:role/${local.deployment}-*"
      Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
    },
    { Sid = "ReadTaskLogs", Effect = "Allow", Action = "logs:GetLogEvents", Resource = format(local.arn, "logs", "log-group:/${local.deployment}-*:log-stream:*") },
  ]

  statements = { plan = local.read_statements, deploy = concat(local.read_statements, local.deploy_statements) }
}

resource "aws_iam_role" "this" {
  for_each = local.subjects

  # Not beginning as the environment's own roles do: the pipeline cannot pass its role to a task.
  name                 = "pipeline-${local.deployment}-${each.key}-${var.region}"
  description          = "GitHub Actions of ${var.repository}: ${each.key} ${local.deployment}"
  max_session_duration = 7200

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = "arn:${var.partition}:iam::${var.account_id}:oidc-provider/${local.issuer}" }
      Condition = { StringEquals = { "${local.issuer}:aud" = "sts.amazonaws.com", "${local.issuer}:sub" = each.value } }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.statements

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })
}
