mock_provider "aws" {}

variables {
  name          = "rates-test"
  region        = "eu-west-1"
  load_balancer = "app/rates/1"
  cluster_name  = "rates-test"
  services = {
    rates = { name = "rates-test-rates", target_groups = ["targetgroup/rates/1"], alarm_arns = ["arn:aws:cloudwatch:eu-west-1:123456789012:alarm:down"], log_group = "/rates-test-rates" }
    work  = { name = "rates-test-work", log_group = "/rates-test-work" }
  }
  database = { writer = "rates-test", max_connections = 100, burstable = true, replicas = ["rates-test-replica-1"] }
}

run "an_instance_has_its_alarms" {
  command = plan

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.database)) == toset(["cpu", "connections", "memory", "storage", "burst", "credits"])
    error_message = "expected CPU, connections, memory, storage, burst balance and credits"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.database["credits"].metric_name == "CPUSurplusCreditsCharged" && aws_cloudwatch_metric_alarm.database["credits"].period == 300 && aws_cloudwatch_metric_alarm.database["credits"].evaluation_periods == 3
    error_message = "a new machine has no credits yet: the alarm must be on what is billed, which comes every five minutes"
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
    error_message = "every alarm must be on this instance and say what to do first"
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.replica_lag) == 1 && aws_cloudwatch_metric_alarm.replica_lag["replica-1"].threshold == 30
    error_message = "each replica must have an alarm on its lag"
  }
}

run "aurora_has_alarms_on_its_cluster" {
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

run "without_cpu_credits_there_is_no_alarm_on_them" {
  command = plan

  variables {
    database = { writer = "rates-test", max_connections = 100 }
  }

  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.database), "credits") && length(aws_cloudwatch_metric_alarm.replica_lag) == 0
    error_message = "expected no alarm on credits or replicas that do not exist"
  }
}

run "with_service_metrics_there_are_alarms_on_the_data" {
  command = plan

  variables {
    service_metrics = true
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.stale[0].threshold == 72 * 3600 && aws_cloudwatch_metric_alarm.stale[0].namespace == "rates-test" && length(aws_cloudwatch_metric_alarm.failed_batches) == 1
    error_message = "expected stale data after 72 hours, and failed batches"
  }
}

run "alarms_on_the_data_name_a_table_of_the_dashboard" {
  command = plan

  variables {
    service_metrics = true
  }

  assert {
    condition     = alltrue([for alarm in [aws_cloudwatch_metric_alarm.stale[0], aws_cloudwatch_metric_alarm.failed_batches[0]] : strcontains(alarm.alarm_description, "First: look at \"Batches of prices\" on the dashboard rates-test") && strcontains(alarm.alarm_description, "POST /prices") && length(alarm.alarm_description) <= 1024])
    error_message = "an alarm on the data must name the table to look at, in at most 1024 characters, the limit of CloudWatch"
  }

  assert {
    condition     = length([for table in local.tables : table if table.title == "Batches of prices"]) == 1
    error_message = "the table that alarms name must be on the dashboard"
  }
}

run "queries_use_the_fields_that_services_log" {
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
    error_message = "a failed request must be shown with its URL, its client and its cause"
  }

  assert {
    condition     = alltrue([for text in ["route = \"/prices\"", "message = \"batch stored\"", "message = \"batch rejected; nothing was stored\""] : strcontains(local.queries.batches.lines[1], text)])
    error_message = "batches arrive by POST /prices; workers store or reject them"
  }
}

run "without_service_metrics_there_are_no_alarms_on_the_data" {
  command = plan

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.stale) == 0 && length(aws_cloudwatch_metric_alarm.failed_batches) == 0
    error_message = "an alarm on a metric that nobody sends would never end"
  }
}

run "emails_subscribe_to_all_alarms" {
  command = plan

  variables {
    emails             = ["oncall@example.com"]
    monthly_budget_usd = 200
  }

  assert {
    condition     = aws_sns_topic_subscription.email["oncall@example.com"].protocol == "email" && length(aws_sns_topic_subscription.budget) == 1
    error_message = "the address must get the alarms and the alarm on the bill"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.budget[0].threshold == 200 && aws_cloudwatch_metric_alarm.budget[0].region == "us-east-1" && aws_sns_topic.budget[0].region == "us-east-1"
    error_message = "AWS reports the bill only in us-east-1"
  }
}

run "without_a_budget_there_is_no_alarm_on_the_bill" {
  command = plan

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.budget) == 0 && length(aws_sns_topic.budget) == 0
    error_message = "expected no alarm on the bill"
  }
}

# Applied, since the alarms' ARNs on the dashboard are known only then; nothing is sent to AWS.
run "the_dashboard_shows_services_and_database" {
  command = apply

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 13
    error_message = "expected the alarms, eight graphs and four tables"
  }

  assert {
    condition     = length([for w in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : w if w.properties.title == "CPU of tasks, per cent"][0].properties.metrics) == 2 && length([for w in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : w if w.properties.title == "Requests a minute"][0].properties.metrics) == 1
    error_message = "a worker must have a line for CPU, and none for requests"
  }

  assert {
    condition     = [for w in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : w.y if w.type == "log"] == [28, 34, 40, 46]
    error_message = "the tables must be below the graphs"
  }
}

run "without_services_the_dashboard_shows_the_database" {
  command = apply

  variables {
    services = {}
  }

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 3
    error_message = "CloudWatch rejects a graph without a line and a query without a log group, so both must be left out"
  }
}

run "refuses_an_invalid_email" {
  command = plan

  variables {
    emails = ["oncall"]
  }

  expect_failures = [var.emails]
}

run "refuses_a_database_without_cluster_and_writer" {
  command = plan

  variables {
    database = { max_connections = 100 }
  }

  expect_failures = [var.database]
}

run "refuses_a_threshold_of_100_per_cent" {
  command = plan

  variables {
    thresholds = { cpu_percent = 100 }
  }

  expect_failures = [var.thresholds]
}

run "refuses_a_threshold_of_zero" {
  command = plan

  variables {
    thresholds = { stale_data_hours = 0 }
  }

  expect_failures = [var.thresholds]
}

run "refuses_a_negative_budget" {
  command = plan

  variables {
    monthly_budget_usd = -1
  }

  expect_failures = [var.monthly_budget_usd]
}
