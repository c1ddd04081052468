# The collector receives traces by OTLP on 4318, scrapes the metrics port, and sends both to AWS. It is not essential:
# if it dies, the service keeps running.

locals {
  collector = var.collector == null ? [] : [{
    name      = "collector"
    image     = var.collector.image
    essential = false

    environment = [{ name = "AOT_CONFIG_CONTENT", value = yamlencode({
      receivers = {
        otlp = { protocols = { http = { endpoint = "127.0.0.1:4318" } } }
        prometheus = { config = { scrape_configs = [{
          job_name        = var.name
          scrape_interval = "60s"
          static_configs  = [{ targets = ["127.0.0.1:${var.collector.metrics_port}"] }]
        }] } }
      }
      processors = {
        memory_limiter = { check_interval = "1s", limit_mib = 100 }
        batch          = {}
      }
      exporters = {
        awsemf = {
          region          = var.region
          namespace       = var.collector.namespace
          log_group_name  = aws_cloudwatch_log_group.this.name
          log_stream_name = "metrics"
          # Summed over tasks: a dimension per task would create a new, paid metric with every deployment.
          dimension_rollup_option = "NoDimensionRollup"
          metric_declarations     = [{ dimensions = [[]], metric_name_selectors = [".*"] }]
        }
        awsxray = { region = var.region }
      }
      service = { pipelines = {
        metrics = { receivers = ["prometheus"], processors = ["memory_limiter", "batch"], exporters = ["awsemf"] }
        traces  = { receivers = ["otlp"], processors = ["memory_limiter", "batch"], exporters = ["awsxray"] }
      } }
    }) }]

    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { add = [], drop = ["ALL"] } }
    logConfiguration       = local.logs.collector
  }]
}
