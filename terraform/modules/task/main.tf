# A task definition: an image with its size, settings and permissions. A service keeps a number of these running
# (modules/service); a migration runs one until it ends (scripts/run_task.sh).

locals {
  container = "app"

  # Omits fields without a value: ECS does not return a null, which would show as a change in every plan.
  app = { for field, value in {
    name      = local.container
    image     = var.image
    essential = true
    command   = length(var.command) > 0 ? var.command : null

    # Sorted by name, as ECS returns them.
    environment = [for name in sort(keys(var.environment)) : { name = name, value = var.environment[name] }]
    secrets     = [for name in sort(keys(var.secrets)) : { name = name, valueFrom = var.secrets[name] }]

    portMappings = var.port == null ? null : [{ containerPort = var.port, hostPort = var.port, protocol = "tcp" }]

    # The image has no shell and no curl, so the binary checks itself.
    healthCheck = length(var.health_command) == 0 ? null : {
      command     = concat(["CMD"], var.health_command)
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }

    # Unprivileged, without capabilities, with a read-only root; only the agent of ECS Exec needs a writable one.
    user                   = "65532:65532"
    readonlyRootFilesystem = var.exec == null
    linuxParameters        = { capabilities = { add = [], drop = ["ALL"] }, initProcessEnabled = var.exec != null }
    mountPoints            = var.volume == null ? [] : [{ sourceVolume = "data", containerPath = var.volume.path, readOnly = false }]

    stopTimeout      = var.stop_timeout_seconds
    logConfiguration = local.logs.app
  } : field => value if value != null }

  logs = { for stream in ["app", "collector"] : stream => {
    logDriver = "awslogs"
    options = {
      "awslogs-group"         = aws_cloudwatch_log_group.this.name
      "awslogs-region"        = var.region
      "awslogs-stream-prefix" = stream
      # When the log buffer is full, lines are dropped, so that the service does not block.
      mode              = "non-blocking"
      "max-buffer-size" = "4m"
    }
  } }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}"
  retention_in_days = var.log_days
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.size.cpu
  memory                   = var.size.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode(concat([local.app], local.collector))

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.size.architecture
  }

  dynamic "volume" {
    for_each = var.volume == null ? [] : [var.volume]

    content {
      name = "data"

      efs_volume_configuration {
        file_system_id     = aws_efs_file_system.this[0].id
        transit_encryption = "ENABLED"

        authorization_config {
          access_point_id = aws_efs_access_point.this[0].id
          iam             = "ENABLED"
        }
      }
    }
  }

  # Keeps old revisions for rollbacks. They cost nothing.
  skip_destroy = true

  # A task that starts before it may read its secrets or mount its volume fails, and the deployment with it.
  depends_on = [aws_iam_role_policy.execution, aws_efs_mount_target.this]
}

resource "aws_security_group" "this" {
  name        = "${var.name}-task"
  description = "Tasks of ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-task" }
}

# The routes limit where HTTPS can go: only to AWS with endpoints, anywhere with NAT.
resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.this.id
  description       = "HTTPS: registry, logs, secrets"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "reaches" {
  for_each = var.reaches

  security_group_id            = aws_security_group.this.id
  description                  = "To the ${each.key}"
  referenced_security_group_id = each.value.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}
