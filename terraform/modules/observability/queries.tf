# Queries of the services' logs, shown on the dashboard. Services log a JSON object per line, and CloudWatch finds its
# fields by itself. Each time somebody opens the dashboard, AWS charges for the gigabytes that
# its queries read: keep them few.

locals {
  log_groups = [for service in var.services : service.log_group if service.log_group != null]

  # The line of a request has url, client, reason and cause only if its status is 400 or more.
  queries = {
    failed = {
      title = "Failed requests (5xx)"
      lines = [
        "fields @timestamp, status, method, url, reason, cause, client, duration_ms, request_id",
        "filter target = \"request\" and status >= 500",
        "sort @timestamp desc",
        "limit 100",
      ]
    }
    rejected = {
      title = "Rejected requests (4xx), by client"
      lines = [
        "filter target = \"request\" and status >= 400 and status < 500",
        "stats count(*) as requests, latest(reason) as last_reason, latest(url) as last_url by status, route, client",
        "sort requests desc",
        "limit 100",
      ]
    }
    # Suppliers POST /prices. A batch is stored with the request or, if queued, by a worker, which logs "batch stored" or
    # "batch rejected; nothing was stored".
    batches = {
      title = "Batches of prices"
      lines = [
        "fields @timestamp, message, status, batch, supplier, rows, reason, cause, client, request_id",
        "filter (target = \"request\" and method = \"POST\" and route = \"/prices\") or message = \"batch stored\" or message = \"batch rejected; nothing was stored\"",
        "sort @timestamp desc",
        "limit 100",
      ]
    }
    jobs = {
      title = "Failed jobs"
      lines = [
        "fields @timestamp, message, queue, job, attempts, error",
        "filter message = \"job failed; trying again later\" or message like /^job given up/ or message like /^worker cannot reach/",
        "sort @timestamp desc",
        "limit 100",
      ]
    }
  }

  # A query names the groups that it reads; one that names none is refused, so without groups there are no queries.
  tables = length(local.log_groups) == 0 ? [] : [for key in ["failed", "batches", "jobs", "rejected"] : {
    title = local.queries[key].title
    query = join("\n| ", concat([for group in local.log_groups : "SOURCE '${group}'"], local.queries[key].lines))
  }]
}
