mock_provider "aws" {}

variables {
  name        = "rates"
  environment = "dev"
  repository  = "example/rates"
  state       = { bucket = "rates-state-123456789012-eu-west-1", key = "rates/dev.tfstate" }
  region      = "eu-west-1"
  account_id  = "123456789012"
}

run "only_the_environment_of_the_repository_deploys" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role.this["deploy"].assume_role_policy).Statement[0].Condition.StringEquals == {
      "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
      "token.actions.githubusercontent.com:sub" = ["repo:example/rates:environment:dev"]
    }
    error_message = "no branch, fork or other repository may deploy"
  }
}

run "no_pull_request_plans" {
  command = plan

  assert {
    condition     = alltrue([for subject in local.subjects.plan : !strcontains(subject, "pull_request") && !strcontains(subject, "*")])
    error_message = "a pull request could run any code with what it reads"
  }
}

run "role_names_fit" {
  command = plan

  variables {
    name        = "twelve-chars"
    environment = "twelve-chars"
    region      = "ap-northeast-1"
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.this : length(role.name) <= 64])
    error_message = "a role's name has 64 characters at the most"
  }
}

run "refuses_a_wildcard" {
  command = plan

  variables {
    repository = "example/*"
  }

  expect_failures = [var.repository]
}
