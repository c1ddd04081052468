output "copy_vault" {
  description = "Name of the vault with the copies, in the other region."
  value       = aws_backup_vault.copy.name
}
