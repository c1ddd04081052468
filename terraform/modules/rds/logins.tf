# The logins whose passwords are ours to make. Terraform makes the place for each and the permission to read it; the
# value is made by scripts/database_password.sh, so that it is in no state, plan or argument.

locals {
  # RDS keeps the master password itself, and changes it every week, wherever it can: a machine it does that for
  # cannot have read replicas.
  master_kept_by_rds = local.aurora || var.database.replicas == 0
}

# The service's own, given to the role by `rates migrate`. The master password may change as it likes: nothing here
# depends on it.
resource "aws_secretsmanager_secret" "app" {
  # A prefix: a deleted secret keeps its name taken while it can still be restored.
  name_prefix             = "${var.name}-database-app-"
  description             = "Login of the service at the database of ${var.name}: JSON with username and password"
  recovery_window_in_days = var.protected ? 30 : 0
}

resource "aws_secretsmanager_secret" "master" {
  count = local.master_kept_by_rds ? 0 : 1

  name_prefix             = "${var.name}-database-master-"
  description             = "Login of the owner of the database of ${var.name}: JSON with username and password"
  recovery_window_in_days = var.protected ? 30 : 0
}
