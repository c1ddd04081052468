# The logins whose passwords we manage. Terraform creates an empty secret for each and the permission to read it.
# scripts/database_password.sh sets the value, so that it is in no state, plan or argument.

locals {
  # RDS manages the master password and changes it every week, except on an instance with read replicas, where it
  # cannot.
  master_kept_by_rds = local.aurora || var.database.replicas == 0
}

# The service's login; `rates migrate` sets the role's password. It does not depend on the master password.
resource "aws_secretsmanager_secret" "app" {
  # A prefix, because the name of a deleted secret stays reserved while the secret can be restored.
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
