# The hooks of apply, in this order: build and push the images, set the passwords of database users, migrate the
# database and, once, load it. Each hook runs again only when its triggers change, and its failure fails the apply.
# `run_hooks = false` leaves all of them to a pipeline.
#
# Commands get values through environment variables, never by interpolation, so that no value is parsed as shell.

locals {
  # Version 1 of the aws command only knows the second one.
  aws_environment = { AWS_REGION = var.region, AWS_DEFAULT_REGION = var.region }

  # By task: the arguments of scripts/run_task.sh.
  one_off_tasks = { for name, task in module.admin : name => join(" ", [
    "--cluster", module.ecs.cluster_name,
    "--task-definition", task.task_definition_arn,
    "--subnets", join(",", local.network.private_subnet_ids),
    "--security-group", task.security_group_id,
  ]) }
}

resource "terraform_data" "image" {
  for_each = var.run_hooks ? local.repositories : []

  triggers_replace = [module.ecr[each.key].repository_url, var.image_tag, local.platforms[each.key]]

  provisioner "local-exec" {
    working_dir = "${path.root}/.."
    command     = "exec ./build_push_docker_image.sh \"$REPOSITORY\" --service \"$SERVICE\" --tag \"$TAG\" --platform \"$PLATFORM\""
    environment = merge(local.aws_environment, {
      REPOSITORY = module.ecr[each.key].repository_url
      SERVICE    = each.key
      TAG        = var.image_tag
      PLATFORM   = local.platforms[each.key]
    })
  }
}

# The dump is delivered as an image: a task reads it from its own disk, without a bucket, link or open port.
resource "terraform_data" "dump_image" {
  count = local.dump_tag == null ? 0 : 1

  triggers_replace = [module.ecr["rates"].repository_url, local.dump_tag, local.platforms["rates"]]

  provisioner "local-exec" {
    working_dir = "${path.root}/.."
    command     = "exec ./build_push_docker_image.sh \"$REPOSITORY\" --service rates --tag \"$TAG\" --platform \"$PLATFORM\" --dump \"$DUMP\""
    environment = merge(local.aws_environment, {
      REPOSITORY = module.ecr["rates"].repository_url
      TAG        = local.dump_tag
      PLATFORM   = local.platforms["rates"]
      DUMP       = abspath(var.dump_file)
    })
  }

  # After the service's image, whose layers it shares: pushing both at once would push the layers twice.
  depends_on = [terraform_data.image]
}

# AWS generates and stores the passwords: none is on this machine's disk, in an argument, the state or a log.
resource "terraform_data" "database_password" {
  for_each = var.run_hooks ? module.rds.passwords : {}

  triggers_replace = [each.value]

  provisioner "local-exec" {
    working_dir = path.root
    command     = "printf %s \"$ARGUMENTS\" | xargs ./scripts/database_password.sh"
    environment = merge(local.aws_environment, { ARGUMENTS = each.value })
  }
}

resource "terraform_data" "migrate" {
  count = var.run_hooks ? 1 : 0

  # A new image may bring new migrations; a new database has none yet.
  triggers_replace = [local.images["rates"], module.rds.host]

  provisioner "local-exec" {
    working_dir = path.root
    command     = "printf %s \"$ARGUMENTS\" | xargs ./scripts/run_task.sh"
    environment = merge(local.aws_environment, { ARGUMENTS = local.one_off_tasks["migrate"] })
  }

  # All of rds and vpc: the task needs access to the database, its image and its log.
  depends_on = [terraform_data.image, terraform_data.database_password, module.rds, module.vpc, module.admin]
}

# After that of rates: services share a table, which the first migration that needs it creates.
resource "terraform_data" "migrate_service" {
  for_each = var.run_hooks ? local.migrating : []

  triggers_replace = [local.images[each.key], module.rds.host]

  provisioner "local-exec" {
    working_dir = path.root
    command     = "printf %s \"$ARGUMENTS\" | xargs ./scripts/run_task.sh"
    environment = merge(local.aws_environment, { ARGUMENTS = local.one_off_tasks["migrate-${each.key}"] })
  }

  depends_on = [terraform_data.migrate]
}

resource "terraform_data" "load" {
  count = local.dump_tag == null ? 0 : 1

  # Runs for another dump or another database. `load --if-empty` does nothing if the database has prices.
  triggers_replace = [local.dump_tag, module.rds.host]

  provisioner "local-exec" {
    working_dir = path.root
    command     = "printf %s \"$ARGUMENTS\" | xargs ./scripts/run_task.sh"
    environment = merge(local.aws_environment, { ARGUMENTS = local.one_off_tasks["load"] })
  }

  depends_on = [terraform_data.dump_image, terraform_data.migrate]
}
