# The whole root, planned. What is only known after an apply is looked at by test_apply.py, on the applied state.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  environment = "test"
  image_tag   = "abc123"
  run_hooks   = false
}

run "an_environment_and_a_tag_are_enough" {
  command = plan

  assert {
    condition     = length(module.service) == 1 && toset(keys(module.admin)) == toset(["migrate"])
    error_message = "expected the one service, and the migration ready to be run"
  }

  assert {
    condition     = toset(keys(module.ecr)) == toset(["rates"])
    error_message = "expected one repository"
  }

  assert {
    condition     = length(module.redis) == 0 && output.region == "eu-west-1" && output.cluster == "rates-test"
    error_message = "expected rates-test in eu-west-1, without a cache"
  }
}

run "stopping_is_slower_than_draining_is_slower_than_a_request" {
  command = plan

  variables {
    request_timeout_seconds = 50
  }

  assert {
    condition     = local.request_timeout < local.deregistration_delay && local.request_timeout < local.drain && local.drain < local.stop_timeout && local.stop_timeout <= 120
    error_message = "each timeout must exceed the one before, also for the longest request"
  }

  assert {
    condition     = local.environment["rates"].RATES__SERVER__TRUSTED_PROXIES == "1"
    error_message = "behind the load balancer, limits by address would count everybody as one"
  }

  assert {
    condition     = local.environment["rates"].RATES__SERVER__REQUEST_TIMEOUT_SECONDS == "50" && local.environment["rates"].RATES__SERVER__DRAIN_SECONDS == "60"
    error_message = "the service must get the same timeouts"
  }
}

run "production_is_protected" {
  command = plan

  variables {
    environment = "prod"
    listener    = { plain_http = true }
  }

  assert {
    condition     = local.protected
    error_message = "production must be protected by default"
  }
}

run "production_can_be_unprotected_by_name" {
  command = plan

  variables {
    environment = "prod"
    protected   = false
  }

  assert {
    condition     = !local.protected
    error_message = "protected = false must turn the protection off"
  }
}

run "nothing_runs" {
  command = plan

  variables {
    services = {}
  }

  assert {
    condition     = length(module.service) == 0 && toset(keys(module.ecr)) == toset(["rates"]) && length(module.admin) == 1
    error_message = "without services the database can still be migrated"
  }
}

run "multivac_is_a_server_and_a_worker" {
  command = plan

  variables {
    redis    = {}
    database = { max_connections = 250 }
    services = {
      rates = { paths = ["/*"], scaling = { max = 2 } }
      multivac = {
        paths   = ["/multivac*"], priority = 200, redis = true
        secrets = { AUTH_USERS = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:multivac-users" }
      }
      vac-worker = { repository = "multivac", command = ["work"], redis = true }
    }
  }

  assert {
    condition     = toset(keys(module.ecr)) == toset(["rates", "multivac"]) && length(module.service["vac-worker"].target_group_arn_suffixes) == 0
    error_message = "expected two repositories, and a worker without a target group"
  }

  assert {
    condition     = toset(keys(module.admin)) == toset(["migrate", "migrate-multivac"])
    error_message = "expected one more migration, that of multivac"
  }

  assert {
    condition     = contains(keys(local.environment["multivac"]), "REDIS_URL") && contains(keys(local.environment["vac-worker"]), "REDIS_URL")
    error_message = "server and worker must be told of the queue"
  }

  assert {
    condition     = local.environment["vac-worker"].MULTIVAC__DATABASE__TLS_MODE == "verify-full" && contains(keys(local.environment["vac-worker"]), "DB_HOST")
    error_message = "the worker must reach the database"
  }
}

run "four_services" {
  command = plan

  variables {
    network = { egress = "nat" }
    redis   = {}
    services = {
      rates    = { paths = ["/*"], scaling = { max = 2 } }
      messages = { paths = ["/messages*"], priority = 100, redis = true, port = 3001 }
      push     = { repository = "rates", command = ["push"], scaling = { max = 1 }, spot = true, volume = "/data" }
      proxy    = { image = "docker.io/library/nginx:1.29.3", hosts = ["proxy.example.com"], priority = 200, port = 8080, health_path = "/" }
    }
  }

  assert {
    condition     = length(module.service) == 4 && toset(keys(module.ecr)) == toset(["rates", "messages"])
    error_message = "expected four services from two repositories of this project and one from outside"
  }

  assert {
    condition     = length(module.service["push"].target_group_arn_suffixes) == 0
    error_message = "a worker must have no target group"
  }

  assert {
    condition     = contains(keys(local.environment["messages"]), "MESSAGES_REDIS_HOST") && !contains(keys(local.environment["messages"]), "DB_HOST")
    error_message = "messages must get the settings of Redis, and not those of the database"
  }

  assert {
    condition     = local.environment["proxy"] == { APP_ENV = "test" }
    error_message = "an image from outside must not get the settings of this project's programs"
  }

  assert {
    condition     = local.environment["push"].DB_USER == "rates_app" && local.environment["push"].RATES__DATABASE__POOL_SIZE == "5"
    error_message = "another command of the same program reads the same settings"
  }
}

run "replicas_are_passed_as_read_hosts" {
  command = plan

  variables {
    database = { replicas = 2 }
  }

  assert {
    condition     = contains(keys(local.environment["rates"]), "DB_READ_HOSTS")
    error_message = "the service must get the hosts of the replicas"
  }
}

run "without_replicas_there_are_no_read_hosts" {
  command = plan

  assert {
    condition     = !contains(keys(local.environment["rates"]), "DB_READ_HOSTS")
    error_message = "without replicas the service must get no read hosts"
  }
}

run "aurora_instead" {
  command = plan

  variables {
    database = { engine = "aurora-postgresql", multi_az = true }
  }

  assert {
    condition     = contains(keys(local.environment["rates"]), "DB_READ_HOSTS") && length(module.rds.identifiers.replicas) == 0
    error_message = "the service must read from Aurora's standby"
  }
}

run "with_a_collector_the_service_exports" {
  command = plan

  variables {
    network       = { egress = "nat" }
    observability = { collector_image = "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3" }
  }

  assert {
    condition     = local.environment["rates"].OTEL_EXPORTER_OTLP_ENDPOINT == "http://127.0.0.1:4318"
    error_message = "the service must get the address of the collector"
  }
}

run "https_by_certificate" {
  command = plan

  variables {
    listener = { certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/1", domain = "rates.example.com" }
  }

  assert {
    condition     = output.url == "https://rates.example.com" && startswith(output.curl, "curl 'https://rates.example.com/rates?")
    error_message = "expected HTTPS"
  }
}

run "two_instances_share_no_name" {
  command = plan

  variables {
    name = "blue"
  }

  assert {
    condition     = output.cluster == "blue-test"
    error_message = "every name must start with var.name"
  }
}

run "refuses_a_digest" {
  command = plan

  variables {
    image_tag = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }

  expect_failures = [var.image_tag]
}

run "images_are_built_for_the_architectures_of_their_tasks" {
  command = plan

  variables {
    redis = {}
    services = {
      rates    = { paths = ["/*"], size = { architecture = "ARM64" } }
      messages = { paths = ["/messages*"], priority = 100, redis = true, size = { architecture = "ARM64" } }
    }
  }

  assert {
    condition     = local.platforms == { rates = "linux/amd64,linux/arm64", messages = "linux/arm64" }
    error_message = "rates also runs the migration, on the architecture of the variable"
  }
}

run "production_refuses_plain_http" {
  command = plan

  variables {
    environment = "prod"
  }

  expect_failures = [var.listener]
}

run "refuses_a_name_that_ends_in_a_hyphen" {
  command = plan

  variables {
    name = "rates-"
  }

  expect_failures = [var.name]
}

run "refuses_two_hyphens" {
  command = plan

  variables {
    environment = "d--x"
  }

  expect_failures = [var.environment]
}

run "refuses_an_environment_in_capitals" {
  command = plan

  variables {
    environment = "Prod"
  }

  expect_failures = [var.environment]
}

run "refuses_an_invalid_region" {
  command = plan

  variables {
    region = "ireland"
  }

  expect_failures = [var.region]
}

run "refuses_latest" {
  command = plan

  variables {
    image_tag = "latest"
  }

  expect_failures = [var.image_tag]
}

run "refuses_an_invalid_tag" {
  command = plan

  variables {
    image_tag = "a b"
  }

  expect_failures = [var.image_tag]
}

run "refuses_a_name_too_long" {
  command = plan

  variables {
    name = "rates-of-the-north"
  }

  expect_failures = [var.name]
}

run "refuses_a_service_in_capitals" {
  command = plan

  variables {
    services = { Rates = {} }
  }

  expect_failures = [var.services]
}

run "refuses_a_service_named_as_a_task" {
  command = plan

  variables {
    services = { migrate = {} }
  }

  expect_failures = [var.services]
}

run "refuses_two_rules_of_one_priority" {
  command = plan

  variables {
    services = { rates = { paths = ["/*"] }, other = { repository = "rates", paths = ["/other"], scaling = { max = 1 } } }
  }

  expect_failures = [var.services]
}

run "refuses_an_image_that_cannot_be_reached" {
  command = plan

  variables {
    services = { proxy = { image = "docker.io/library/nginx:1.29.3", database = false } }
  }

  expect_failures = [var.services]
}

run "refuses_a_secret_that_is_not_an_arn" {
  command = plan

  variables {
    services = { rates = { paths = ["/*"], secrets = { API_KEY = "hunter2" } } }
  }

  expect_failures = [var.services]
}

run "refuses_redis_without_the_variable_redis" {
  command = plan

  variables {
    services = { rates = { paths = ["/*"], redis = true } }
  }

  expect_failures = [var.services]
}

run "refuses_a_program_that_is_not_here" {
  command = plan

  variables {
    services = { mesages = {} }
  }

  expect_failures = [var.services]
}

run "refuses_messages_that_have_no_place" {
  command = plan

  variables {
    services = { messages = { paths = ["/messages*"] } }
  }

  expect_failures = [var.services]
}

run "refuses_two_processes_on_a_file_for_one" {
  command = plan

  variables {
    services = { messages = { paths = ["/messages*"], volume = "/data" } }
  }

  expect_failures = [var.services]
}

run "refuses_a_receiver_without_its_key" {
  command = plan

  variables {
    services = { transfer = { paths = ["/upload/*"], volume = "/data" } }
  }

  expect_failures = [var.services]
}

run "refuses_more_connections_than_there_are" {
  command = plan

  variables {
    services = { rates = { paths = ["/*"], scaling = { max = 5 } } }
  }

  expect_failures = [var.services]
}

run "refuses_an_unknown_processor" {
  command = plan

  variables {
    architecture = "amd64"
  }

  expect_failures = [var.architecture]
}

run "refuses_requests_longer_than_the_load_balancer_waits" {
  command = plan

  variables {
    request_timeout_seconds = 51
  }

  expect_failures = [var.request_timeout_seconds]
}

run "refuses_a_request_timeout_of_zero" {
  command = plan

  variables {
    request_timeout_seconds = 0
  }

  expect_failures = [var.request_timeout_seconds]
}

run "refuses_a_retention_that_cloudwatch_does_not_support" {
  command = plan

  variables {
    observability = { log_days = 42 }
  }

  expect_failures = [var.observability]
}

run "refuses_a_collector_that_cannot_be_reached" {
  command = plan

  variables {
    observability = { collector_image = "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3" }
  }

  expect_failures = [var.observability]
}
