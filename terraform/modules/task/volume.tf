# A directory on EFS for a service that keeps files: available in every zone, encrypted, of any size.

resource "aws_efs_file_system" "this" {
  count = var.volume == null ? 0 : 1

  encrypted = true
  # Throughput adapts to the load and costs nothing while idle.
  throughput_mode = "elastic"

  lifecycle_policy {
    transition_to_ia = "AFTER_30_DAYS"
  }

  tags = { Name = var.name }
}

# Restricts access to one directory, which belongs to the container's user.
resource "aws_efs_access_point" "this" {
  count = var.volume == null ? 0 : 1

  file_system_id = aws_efs_file_system.this[0].id

  posix_user {
    uid = 65532
    gid = 65532
  }

  root_directory {
    path = "/data"

    creation_info {
      owner_uid   = 65532
      owner_gid   = 65532
      permissions = "0750"
    }
  }
}

resource "aws_efs_mount_target" "this" {
  count = var.volume == null ? 0 : length(var.volume.subnet_ids)

  file_system_id  = aws_efs_file_system.this[0].id
  subnet_id       = var.volume.subnet_ids[count.index]
  security_groups = [aws_security_group.volume[0].id]
}

resource "aws_security_group" "volume" {
  count = var.volume == null ? 0 : 1

  name        = "${var.name}-volume"
  description = "File system of ${var.name}: NFS from its own tasks"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-volume" }
}

resource "aws_vpc_security_group_ingress_rule" "volume" {
  count = var.volume == null ? 0 : 1

  security_group_id            = aws_security_group.volume[0].id
  description                  = "NFS from the tasks"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_vpc_security_group_egress_rule" "volume" {
  count = var.volume == null ? 0 : 1

  security_group_id            = aws_security_group.this.id
  description                  = "NFS to the file system"
  referenced_security_group_id = aws_security_group.volume[0].id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}
