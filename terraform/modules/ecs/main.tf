# The cluster is only a name and its settings; Fargate has no instances to manage.

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = var.container_insights
  }

  # Where a transcript of an ECS Exec session goes if the image has `script`, which ours have not: who ran which command is
  # in CloudTrail (ExecuteCommand), what it printed is nowhere.
  configuration {
    execute_command_configuration {
      logging = "OVERRIDE"

      log_configuration {
        cloud_watch_log_group_name = aws_cloudwatch_log_group.exec.name
      }
    }
  }
}

resource "aws_cloudwatch_log_group" "exec" {
  name              = "/${var.name}/ecs-exec"
  retention_in_days = var.log_days
}

# Both capacity providers are available, and each service chooses one. The default is on demand, which AWS does not
# reclaim at two minutes' notice.
resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]

  default_capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }
}
