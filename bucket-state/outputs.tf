output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.state.bucket
}

output "backend" {
  description = "Backend settings: save as backend.hcl and pass with -backend-config=backend.hcl, or paste them into a backend \"s3\" block. Only the key is still to be chosen, one each root and environment."
  value = join("\n", concat(
    [
      "bucket       = \"${aws_s3_bucket.state.bucket}\"",
      "region       = \"${var.region}\"",
      "use_lockfile = true",
    ],
    var.lock_table ? ["dynamodb_table = \"${aws_dynamodb_table.lock[0].name}\""] : [],
    [""],
  ))
}
