# Daily copies of the database and of volumes in another region, by AWS Backup. They survive the loss of the region and a mistake with the
# database's own backups, which stay as they are: they restore to the second, copies to the day.

resource "aws_backup_vault" "this" {
  name          = var.name
  force_destroy = !var.protected
}

resource "aws_backup_vault" "copy" {
  region        = var.copy_region
  name          = "${var.name}-from-${var.region}"
  force_destroy = !var.protected
}

resource "aws_backup_plan" "this" {
  name = var.name

  rule {
    rule_name         = "daily"
    target_vault_name = aws_backup_vault.this.name
    # After RDS's own backup, which is taken from 02:00 to 03:00: the two must not meet.
    schedule          = "cron(0 5 * * ? *)"
    start_window      = 60
    completion_window = 360

    # Here only until it is copied: RDS keeps its own backups.
    lifecycle {
      delete_after = 2
      # Said, because a value that AWS adds would show as a change in every plan.
      opt_in_to_archive_for_supported_resources = false
    }

    copy_action {
      destination_vault_arn = aws_backup_vault.copy.arn

      lifecycle {
        delete_after                              = var.keep_days
        opt_in_to_archive_for_supported_resources = false
      }
    }
  }
}

resource "aws_backup_selection" "this" {
  name         = "data"
  plan_id      = aws_backup_plan.this.id
  iam_role_arn = aws_iam_role.this.arn
  resources    = var.arns

  # The first backup may start at once.
  depends_on = [aws_iam_role_policy_attachment.this]
}

resource "aws_iam_role" "this" {
  name        = "${var.name}-backup-${var.region}"
  description = "AWS Backup of the data of ${var.name}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "backup.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

# AWS's own policy: what a backup of RDS or EFS calls is theirs to know. Restores use an operator's credentials.
resource "aws_iam_role_policy_attachment" "this" {
  role       = aws_iam_role.this.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup"
}
