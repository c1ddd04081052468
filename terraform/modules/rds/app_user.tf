# The service's own login. Terraform makes the place for its password and the permission to read it; the value is
# made by scripts/app_password.sh, so that it is in no state, plan or argument, and given to the role by `rates
# migrate`. The master password may rotate as it likes: nothing here depends on it.

resource "aws_secretsmanager_secret" "app" {
  # A prefix: a deleted secret keeps its name taken while it can still be restored.
  name_prefix             = "${var.name}-database-app-"
  description             = "Login of the service at the database of ${var.name}: JSON with username and password"
  recovery_window_in_days = var.protected ? 30 : 0
}
