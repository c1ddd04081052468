mock_provider "aws" {}

variables {
  name       = "rates-test"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-a", "subnet-b"]
  clients    = { messages = "sg-messages" }
}

run "one_encrypted_node_for_its_clients" {
  command = plan

  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.at_rest_encryption_enabled == "true"
    error_message = "expected encryption on the way and at rest"
  }

  assert {
    condition     = aws_elasticache_replication_group.this.num_cache_clusters == 1 && !aws_elasticache_replication_group.this.automatic_failover_enabled
    error_message = "expected one node, which nothing can take over from"
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients["messages"].referenced_security_group_id == "sg-messages" && aws_vpc_security_group_ingress_rule.clients["messages"].from_port == 6379
    error_message = "clients must come in by their group"
  }
}

run "a_copy_takes_over" {
  command = apply

  variables {
    redis     = { replicas = 1 }
    protected = true
  }

  assert {
    condition     = aws_elasticache_replication_group.this.num_cache_clusters == 2 && aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.multi_az_enabled
    error_message = "expected two nodes in two zones"
  }

  assert {
    condition     = can(regex("^rates-test-final-[0-9]{12}$", aws_elasticache_replication_group.this.final_snapshot_identifier))
    error_message = "protected, the last state must be kept"
  }
}

run "refuses_a_type_of_another_service" {
  command = plan

  variables {
    redis = { node_type = "t4g.micro" }
  }

  expect_failures = [var.redis]
}

run "refuses_six_copies" {
  command = plan

  variables {
    redis = { replicas = 6 }
  }

  expect_failures = [var.redis]
}

run "refuses_snapshots_for_longer_than_kept" {
  command = plan

  variables {
    redis = { snapshot_days = 36 }
  }

  expect_failures = [var.redis]
}
