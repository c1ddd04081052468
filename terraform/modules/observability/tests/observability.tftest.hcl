mock_provider "aws" {}

variables {
  name          = "rates-test"
  region        = "eu-west-1"
  load_balancer = "app/rates/1"
  cluster_name  = "rates-test"
  services = {
    rates = { name = "rates-test-rates", target_group = "targetgroup/rates/1", alarm_arns = ["arn:aws:cloudwatch:eu-west-1:123456789012:alarm:down"], log_group = "/rates-test-rates" }
    work  = { name = "rates-test-work", log_group = "/rates-test-work" }
  }
  database = { writer = "rates-test", max_connections = 100, burstable = true, replicas = ["rates-test-replica-1"] }
}

run "the_machine_is_watched" {
  command = plan

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.database)) == toset(["cpu", "connections", "memory", "storage", "burst", "credits"])
    error_message = "expected CPU, connections, memory, storage, burst balance and credits"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.database["connections"].threshold == 80 && aws_cloudwatch_metric_alarm.database["connections"].comparison_operator == "GreaterThanThreshold"
    error_message = "expected 80 of 100 connections"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.database["storage"].threshold == 5 * 1024 * 1024 * 1024 && aws_cloudwatch_metric_alarm.database["storage"].comparison_operator == "LessThanThreshold"
    error_message = "expected 5 GB, in bytes as CloudWatch counts"
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.database : strcontains(alarm.alarm_description, "First:") && alarm.dimensions == tomap({ DBInstanceIdentifier = "rates-test" })])
    error_message = "every alarm must say what to do first, of the right machine"
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.replica_lag) == 1 && aws_cloudwatch_metric_alarm.replica_lag["replica-1"].threshold == 30
    error_message = "each replica's lag must be watched"
  }
}

run "aurora_is_watched_by_its_cluster" {
  command = plan

  variables {
    database = { cluster = "rates-test", max_connections = 100 }
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.database)) == toset(["cpu", "connections", "memory", "capacity", "lag"])
    error_message = "Aurora has capacity instead of storage"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.database["lag"].threshold == 30000 && aws_cloudwatch_metric_alarm.database["lag"].dimensions == tomap({ DBClusterIdentifier = "rates-test" })
    error_message = "Aurora counts lag in milliseconds"
  }
}

run "a_machine_without_credits_has_no_alarm_on_them" {
  command = plan

  variables {
    database = { writer = "rates-test", max_connections = 100 }
  }

  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.database), "credits") && length(aws_cloudwatch_metric_alarm.replica_lag) == 0
    error_message = "what does not exist is not watched"
  }
}

run "data_is_watched_where_its_metrics_are" {
  command = plan

  variables {
    service_metrics = true
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.stale[0].threshold == 48 * 3600 && aws_cloudwatch_metric_alarm.stale[0].namespace == "rates-test" && length(aws_cloudwatch_metric_alarm.failed_batches) == 1
    error_message = "expected stale data after 48 hours, and failed batches"
  }
}

run "alarms_on_data_name_a_table_on_the_dashboard" {
  command = plan

  variables {
    service_metrics = true
  }

  assert {
    condition     = alltrue([for alarm in [aws_cloudwatch_metric_alarm.stale[0], aws_cloudwatch_metric_alarm.failed_batches[0]] : strcontains(alarm.alarm_description, "First: look at \"Batches of prices\" on the dashboard rates-test") && strcontains(alarm.alarm_description, "POST /prices") && length(alarm.alarm_description) <= 1024])
    error_message = "an alarm on data must say where to look, in the 1024 characters that CloudWatch takes"
  }

  assert {
    condition     = length([for table in local.tables : table if table.title == "Batches of prices"]) == 1
    error_message = "the table that alarms name must be on the dashboard"
  }
}

run "the_log_is_queried_as_services_write_it" {
  command = plan

  assert {
    condition     = alltrue([for table in local.tables : startswith(table.query, "SOURCE '/rates-test-rates'\n| SOURCE '/rates-test-work'\n| ")])
    error_message = "every query must read the logs of all services, workers included"
  }

  assert {
    condition     = alltrue([for key in ["failed", "rejected", "batches"] : strcontains(join("", local.queries[key].lines), "target = \"request\"")])
    error_message = "requests are the lines with target \"request\""
  }

  assert {
    condition     = alltrue([for field in ["status", "url", "client", "reason", "cause", "duration_ms", "request_id"] : strcontains(local.queries.failed.lines[0], field)])
    error_message = "a failed request must be shown with what was asked, by whom and why it failed"
  }

  assert {
    condition     = alltrue([for text in ["route = \"/prices\"", "message = \"batch stored\"", "message = \"batch rejected; nothing was stored\""] : strcontains(local.queries.batches.lines[1], text)])
    error_message = "batches arrive by POST /prices; workers store or reject them"
  }
}

run "without_a_collector_the_data_is_not_watched" {
  command = plan

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.stale) == 0 && length(aws_cloudwatch_metric_alarm.failed_batches) == 0
    error_message = "an alarm on a metric that never comes would ring for ever"
  }
}

run "addresses_are_told" {
  command = plan

  variables {
    emails             = ["oncall@example.com"]
    monthly_budget_usd = 200
  }

  assert {
    condition     = aws_sns_topic_subscription.email["oncall@example.com"].protocol == "email" && length(aws_sns_topic_subscription.budget) == 1
    error_message = "expected the address told of alarms and of money"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.budget[0].threshold == 200 && aws_cloudwatch_metric_alarm.budget[0].region == "us-east-1" && aws_sns_topic.budget[0].region == "us-east-1"
    error_message = "the bill is reported in us-east-1 alone"
  }
}

run "no_budget_no_alarm" {
  command = plan

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.budget) == 0 && length(aws_sns_topic.budget) == 0
    error_message = "expected no budget"
  }
}

# Applied, since the alarms' ARNs on the dashboard are known only then; nothing leaves this machine.
run "the_dashboard_shows_services_and_database" {
  command = apply

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 13
    error_message = "expected the alarms, eight pictures and four tables"
  }

  assert {
    condition     = length([for w in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : w if w.properties.title == "CPU of tasks, per cent"][0].properties.metrics) == 2 && length([for w in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : w if w.properties.title == "Requests a minute"][0].properties.metrics) == 1
    error_message = "a worker has CPU, and no requests"
  }

  assert {
    condition     = [for w in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : w.y if w.type == "log"] == [28, 34, 40, 46]
    error_message = "the tables must stand below the pictures"
  }
}

run "without_services_the_dashboard_shows_the_database" {
  command = apply

  variables {
    services = {}
  }

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 3
    error_message = "a picture without a line and a query without a log group are refused, and must be left out"
  }
}

run "refuses_what_is_no_address" {
  command = plan

  variables {
    emails = ["oncall"]
  }

  expect_failures = [var.emails]
}

run "refuses_no_database_at_all" {
  command = plan

  variables {
    database = { max_connections = 100 }
  }

  expect_failures = [var.database]
}

run "refuses_a_threshold_that_never_rings" {
  command = plan

  variables {
    thresholds = { cpu_percent = 100 }
  }

  expect_failures = [var.thresholds]
}

run "refuses_a_threshold_of_nothing" {
  command = plan

  variables {
    thresholds = { stale_data_hours = 0 }
  }

  expect_failures = [var.thresholds]
}

run "refuses_a_budget_below_nothing" {
  command = plan

  variables {
    monthly_budget_usd = -1
  }

  expect_failures = [var.monthly_budget_usd]
}
