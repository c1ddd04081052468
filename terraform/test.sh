#!/usr/bin/env bash
# All that can be known of the infrastructure without an AWS account.
# shellcheck disable=SC2016  # what stands in single quotes here is jq's
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: terraform/test.sh [PART...]

Without arguments every part, in this order:
  fmt        formatting of the configuration and of the scripts, shellcheck, also of commands inside the configuration
  validate   every root and every module alone
  test       terraform test in every root and module; a file whose tests did not all run is a failure
  plans      each environment's plan, and what must be true of it
  apply      a whole apply with the hooks stubbed on PATH: their order, their arguments, no secret left behind, a
             second plan without changes, a failing hook, destroy
  scripts    each script against a stubbed aws command: success and every refusal
  backend    bucket-state and the S3 backend against moto: init, a lock held by another, force-unlock, migration
  checkov    the configuration and the planned environments, through checkov
  docs       the tables in the READMEs and the picture are those of the code

Needs terraform (1.11 or later), jq and python3. The provider comes from registry.terraform.io, or from where the CLI
configuration file named by RATES_TERRAFORM_CLI_CONFIG says; with neither in reach all parts but fmt, scripts and
docs are skipped, which is said. moto and checkov are installed under .run/ and nowhere else.
TEXT
}

root=$(cd "$(dirname "$0")/.." && pwd)
run=$root/.run/terraform
parts=(fmt validate test plans apply scripts backend checkov docs)

die() {
  echo "FAILED: $*" >&2
  exit 1
}

skip() {
  echo "SKIPPED: $*"
}

# `have PROGRAM`: whether it is there; without it the part is skipped, and says so.
have() {
  command -v "$1" >/dev/null || {
    skip "$part: $1 is not installed"
    return 1
  }
}

# Everything is done on a copy: nothing is left in the tree, and an operator's backend and lock files stay out of it.
fresh_copy() {
  rm -rf "$1"
  mkdir -p "$1"
  (cd "$root" && tar -c --exclude=.terraform --exclude='*.tfstate*' --exclude=.terraform.lock.hcl --exclude=backend.hcl \
    --exclude=bucket-state/backend.tf terraform bucket-state) | tar -x -C "$1"
}

# State in a file instead of the bucket.
local_backend() {
  printf 'terraform {\n  backend "local" {}\n}\n' >"$1/backend_override.tf"
}

tf() {
  local dir=$1
  shift
  terraform -chdir="$dir" "$@"
}

quiet() {
  local log
  log=$(mktemp "$run/log.XXXXXX")
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# `provider_in_reach`: decides once where the provider comes from.
provider_in_reach() {
  if [[ -z ${reach:-} ]]; then
    if ! command -v terraform >/dev/null; then
      reach='terraform is not installed'
    elif [[ -n ${RATES_TERRAFORM_CLI_CONFIG:-} ]]; then
      if [[ -r $RATES_TERRAFORM_CLI_CONFIG ]]; then
        export TF_CLI_CONFIG_FILE=$RATES_TERRAFORM_CLI_CONFIG
        reach=yes
      else
        reach="RATES_TERRAFORM_CLI_CONFIG names $RATES_TERRAFORM_CLI_CONFIG, which cannot be read"
      fi
    elif [[ -n ${TF_CLI_CONFIG_FILE:-} ]]; then
      reach=yes
    elif curl -fsS -m 10 -o /dev/null https://registry.terraform.io/.well-known/terraform.json 2>/dev/null; then
      reach=yes
    else
      reach='registry.terraform.io cannot be reached, and RATES_TERRAFORM_CLI_CONFIG names no other source of the provider'
    fi
  fi
  [[ $reach == yes ]] || {
    skip "$part: $reach"
    return 1
  }
}

# Every directory with a configuration of its own.
directories() {
  echo bucket-state
  echo terraform
  (cd "$root" && printf '%s\n' terraform/modules/*)
}

scripts() {
  (cd "$root" && printf '%s\n' terraform/*.sh terraform/scripts/*.sh terraform/tests/stubs/* bucket-state/*.sh)
}

test_fmt() {
  if have terraform; then
    terraform -chdir="$root" fmt -check -diff -recursive terraform || die 'run terraform fmt -recursive'
    terraform -chdir="$root" fmt -check -diff -recursive bucket-state || die 'run terraform fmt -recursive'
  fi
  if have shellcheck; then
    (cd "$root" && scripts | xargs shellcheck)
    # A command inside the configuration is a script too. terraform hands it to sh; ${…} would paste a value into it.
    python3 - "$root" <<'PYTHON' >"$run/inline.sh"
import json, pathlib, re, sys
for path in sorted(pathlib.Path(sys.argv[1], "terraform").rglob("*.tf")):
    for command in re.findall(r'^    command\s*=\s*(".*")$', path.read_text(), re.M):
        print(f"( {json.loads(command)} ) # {path.name}")
PYTHON
    [[ $(wc -l <"$run/inline.sh") -eq $(grep -ch local-exec "$root/terraform/hooks.tf") ]] || die 'hooks.tf has a command that this check does not see'
    # SC2154: the variables are handed over by terraform.
    shellcheck -s sh -e SC2154 "$run/inline.sh"
    if grep -n '\${' "$run/inline.sh"; then die 'a value is pasted into a command: hand it over in environment'; fi
  fi
  if have shfmt; then
    (cd "$root" && scripts | xargs shfmt -i 2 -ci -d)
  fi
}

test_validate() {
  provider_in_reach || return 0
  local dir
  fresh_copy "$run/validate"
  for dir in $(directories); do
    quiet tf "$run/validate/$dir" init -backend=false -input=false || die "$dir: init"
    quiet tf "$run/validate/$dir" validate || die "$dir: not valid"
    echo "valid: $dir"
  done
}

# One directory's tests. The provider is one process a run, so most of the time goes by waiting for it to start.
test_directory() {
  local dir=$1 expected summary log
  log=$run/test/${dir//\//-}.log
  expected=$(cat "$run/test/$dir"/tests/*.tftest.hcl | grep -c '^run "')
  quiet tf "$run/test/$dir" init -backend=false -input=false || die "$dir: init"
  if ! tf "$run/test/$dir" test -no-color >"$log" 2>&1; then
    grep -v '\.\.\. pass$' "$log" >&2
    die "$dir: tests"
  fi
  summary=$(tail -1 "$log")
  # terraform test succeeds, too, when it finds no tests.
  [[ $summary == "Success! $expected passed, 0 failed." ]] || die "$dir: expected $expected tests, got: $summary"
  echo "$expected passed: $dir"
}

test_test() {
  provider_in_reach || return 0
  local dir failed=0 under_way=0
  fresh_copy "$run/test"
  # Two at a time, the longest first.
  for dir in terraform $(directories | grep -vx terraform); do
    if ((under_way == 2)); then
      wait -n || failed=1
      under_way=1
    fi
    test_directory "$dir" &
    under_way=$((under_way + 1))
  done
  while ((under_way-- > 0)); do wait -n || failed=1; done
  ((failed == 0)) || exit 1
}

# `plan_environment NAME` leaves NAME.json, for test_plans and test_checkov.
plan_environment() {
  quiet tf "$run/plans/terraform" plan -input=false -var-file="environments/$1.tfvars" -var=image_tag=abc123 -var=run_hooks=false -out="$run/plans/$1.plan" || die "$1: plan"
  tf "$run/plans/terraform" show -json "$run/plans/$1.plan" >"$run/plans/$1.json"
}

plan_environments() {
  [[ ! -e $run/plans/done ]] || return 0
  local name
  fresh_copy "$run/plans"
  local_backend "$run/plans/terraform"
  quiet tf "$run/plans/terraform" init -input=false || die 'init'
  for name in dev staging prod; do plan_environment "$name"; done
  touch "$run/plans/done"
}

# `expect FILE WHAT FILTER`: the jq filter must give true. $all is every planned or applied resource.
expect() {
  jq -e "[.. | objects | select(has(\"address\") and has(\"values\") and has(\"type\"))] as \$all | $3" "$1" >/dev/null || die "$(basename "$1" .json): $2"
}

test_plans() {
  provider_in_reach && have jq || return 0
  local name file
  rm -f "$run/plans/done"
  plan_environments
  for name in dev staging prod; do
    file=$run/plans/$name.json
    expect "$file" 'a database is public' '[$all[] | select(.type == "aws_db_instance") | .values.publicly_accessible] | length > 0 and all(. == false)'
    expect "$file" 'a database is not encrypted' '[$all[] | select(.type == "aws_db_instance") | .values.storage_encrypted] | all(. == true)'
    expect "$file" 'a task has a public address' '[$all[] | select(.type == "aws_ecs_service") | .values.network_configuration[0].assign_public_ip] | length > 0 and all(. == false)'
    expect "$file" 'something but the load balancer lets in addresses' '[$all[] | select(.type == "aws_vpc_security_group_ingress_rule" and .values.cidr_ipv4 == "0.0.0.0/0") | .address] | length > 0 and all(startswith("module.alb."))'
    expect "$file" 'a log is kept for ever' '[$all[] | select(.type == "aws_cloudwatch_log_group") | .values.retention_in_days] | all(. > 0)'
    expect "$file" 'an alarm does not say what to do first' '[$all[] | select(.type == "aws_cloudwatch_metric_alarm") | .values.alarm_description] | length > 10 and all(contains("First:"))'
    expect "$file" 'a password is planned' '[$all[] | .values | (.password?, .master_password?, .secret_string?) | select(. != null)] | length == 0'
    echo "planned: $name, $(jq '[.resource_changes[] | select(.change.actions == ["create"])] | length' "$file") resources"
  done
  expect "$run/plans/dev.json" 'dev cannot be destroyed' '[$all[] | select(.type == "aws_db_instance") | .values.deletion_protection] | all(. == false)'
  expect "$run/plans/dev.json" 'dev is not on Spot' '[$all[] | select(.type == "aws_ecs_service") | .values.capacity_provider_strategy[0].capacity_provider] == ["FARGATE_SPOT"]'
  expect "$run/plans/prod.json" 'prod can be deleted' '[$all[] | select(.type == "aws_db_instance" and .name == "this") | .values | .deletion_protection and (.skip_final_snapshot | not) and .multi_az] == [true]'
  expect "$run/plans/prod.json" 'prod is not in three zones' '[$all[] | select(.type == "aws_subnet" and .name == "private")] | length == 3'
  expect "$run/plans/prod.json" 'the load balancer of prod can be deleted' '[$all[] | select(.type == "aws_lb") | .values.enable_deletion_protection] == [true]'
}

# A stubbed world: a fresh directory of answers, in front of PATH.
stub_world() {
  export STUB_DIR=$run/stub
  rm -rf "$STUB_DIR"
  mkdir -p "$STUB_DIR"
  : >"$STUB_DIR/calls"
  echo '{"taskDefinition": {"containerDefinitions": [{"name": "app", "image": "r/rates:old", "logConfiguration": {"options": {"awslogs-group": "/group", "awslogs-stream-prefix": "app"}}}]}}' >"$STUB_DIR/ecs-describe-task-definition.1"
  echo '{"tasks": [{"taskArn": "arn:aws:ecs:eu-west-1:1:task/c/t1"}], "failures": []}' >"$STUB_DIR/ecs-run-task.1"
  echo '{"tasks": [{"lastStatus": "RUNNING", "containers": [{"name": "app"}]}]}' >"$STUB_DIR/ecs-describe-tasks.1"
  echo '{"tasks": [{"lastStatus": "STOPPED", "containers": [{"name": "app", "exitCode": 0}]}]}' >"$STUB_DIR/ecs-describe-tasks.2"
  echo '{"events": [{"message": "first line"}], "nextForwardToken": "f/1"}' >"$STUB_DIR/logs-get-log-events.1"
  echo '{"events": [], "nextForwardToken": "f/1"}' >"$STUB_DIR/logs-get-log-events.2"
  echo '{"RandomPassword": "hunter2hunter2hunter2"}' >"$STUB_DIR/secretsmanager-get-random-password.1"
}

# What the hooks did, one word each, in the order they did it.
hooks_done() {
  sed -n -E 's/^build .*--dump .*/build-dump/p; s/^build .*/build/p; s/^aws secretsmanager put-secret-value .*/password/p; s/^aws ecs run-task .*/task/p' "$STUB_DIR/calls" | tr '\n' ' '
}

test_apply() {
  provider_in_reach && have jq || return 0
  local work=$run/apply/terraform state=$run/apply/terraform/terraform.tfstate settings digest arguments user
  fresh_copy "$run/apply"
  local_backend "$work"
  stub_world
  cp "$root/terraform/tests/stubs/build_push_docker_image.sh" "$run/apply/"
  mkdir -p "$run/apply/db"
  echo 'select 1;' >"$run/apply/db/rates.sql"
  digest=$(sha256sum "$run/apply/db/rates.sql" | cut -c1-12)
  quiet tf "$work" init -input=false || die 'init'
  local PATH=$work/tests/stubs:$PATH
  settings=(-input=false -no-color -var=environment=dev)

  touch "$STUB_DIR/secretsmanager-put-secret-value.fails"
  if tf "$work" apply -auto-approve "${settings[@]}" -var=image_tag=abc123 >"$run/apply/log" 2>&1; then die 'a password that could not be stored did not fail the apply'; fi
  [[ $(hooks_done) != *task* ]] || die 'the migration ran without a password to give'
  rm "$STUB_DIR/secretsmanager-put-secret-value.fails"
  touch "$STUB_DIR/build.fails"
  if tf "$work" apply -auto-approve "${settings[@]}" -var=image_tag=bad789 >"$run/apply/log" 2>&1; then die 'a build that failed did not fail the apply'; fi
  [[ $(hooks_done) != *task* ]] || die 'the migration ran without its image'
  rm "$STUB_DIR/build.fails"
  echo '{"tasks": [{"lastStatus": "STOPPED", "containers": [{"name": "app", "exitCode": 1}]}]}' >"$STUB_DIR/ecs-describe-tasks.1"
  if tf "$work" apply -auto-approve "${settings[@]}" -var=image_tag=abc123 >"$run/apply/log" 2>&1; then die 'a migration that failed did not fail the apply'; fi
  grep -q 'failed with exit code 1' "$run/apply/log" || die 'the apply does not say that the migration failed'
  if tf "$work" state list | grep aws_ecs_service; then die 'the service was started although the migration failed'; fi
  quiet tf "$work" destroy -auto-approve "${settings[@]}" -var=image_tag=abc123 || die 'destroy of half an environment'
  echo 'failing hooks: the apply fails, and no service starts'

  # From nothing, with hooks that work. A task is done when it is first looked at: there is nothing to wait for.
  stub_world
  cp "$STUB_DIR/ecs-describe-tasks.2" "$STUB_DIR/ecs-describe-tasks.1"
  tf "$work" apply -auto-approve "${settings[@]}" -var=image_tag=abc123 >"$run/apply/log" 2>&1 || {
    cat "$run/apply/log" >&2
    die 'apply'
  }
  [[ $(hooks_done) =~ ^(password\ )?build\ (password\ )?build-dump\ (password\ )?task\ task\ $|^build\ password\ task\ build-dump\ task\ $|^password\ build\ task\ build-dump\ task\ $ ]] || die "the hooks ran in the wrong order: $(hooks_done)"
  [[ $(hooks_done) == *password*task* ]] || die "the migration ran before there was a password: $(hooks_done)"
  echo "hooks: $(hooks_done)"
  grep -qE -- '^build [^ ]+ --service rates --tag abc123 --platform linux/amd64$' "$STUB_DIR/calls" || die 'the build got other arguments'
  grep -qE -- "^build [^ ]+ --service rates --tag data-$digest --platform linux/amd64 --dump /.*/db/rates.sql\$" "$STUB_DIR/calls" || die "the dump's build got other arguments"
  grep -qE -- '^aws ecs run-task --cluster rates-dev .*assignPublicIp=DISABLED' "$STUB_DIR/calls" || die 'the tasks ran elsewhere'
  grep -q 'first line' "$run/apply/log" || die "the task's log was not shown"
  grep -q '"password":"hunter2hunter2hunter2"' "$STUB_DIR/secretsmanager-put-secret-value.stdin" || die 'the password did not reach its secret'
  if grep -l hunter2 "$STUB_DIR/calls" "$run/apply/log" "$state"; then die 'the password is in an argument, in the log or in the state'; fi

  # From the outside in, by the groups themselves.
  tf "$work" show -json >"$run/apply/state.json"
  expect "$run/apply/state.json" 'the groups do not lead from the load balancer to the tasks to the database and no further' '
    def group(m): $all[] | select(.address == m) | .values.id;
    group("module.alb.aws_security_group.this") as $alb | group("module.task[\"rates\"].aws_security_group.this") as $task
    | group("module.rds.aws_security_group.this") as $database | group("module.admin[\"migrate\"].aws_security_group.this") as $migrate
    | group("module.admin[\"load\"].aws_security_group.this") as $load
    | [$all[] | select(.type == "aws_vpc_security_group_ingress_rule") | .values | {to: .security_group_id, from: .referenced_security_group_id, from_port}] as $in
    | ([$in[] | select(.to == $task)] == [{to: $task, from: $alb, from_port: 3000}])
    and ([$in[] | select(.to == $database) | .from] | sort) == ([$task, $migrate, $load] | sort)
    and ([$in[] | select(.to == $database) | .from_port] | unique) == [5432]'
  expect "$run/apply/state.json" 'the service does not run the task definition, or the load balancer does not reach it' '
    ($all[] | select(.type == "aws_lb_target_group") | .values) as $target
    | ($all[] | select(.type == "aws_ecs_service") | .values) as $service
    | ($all[] | select(.address == "module.task[\"rates\"].aws_ecs_task_definition.this") | .values) as $task
    | ($task.container_definitions | fromjson | .[0]) as $app
    | $target.port == 3000 and $target.health_check[0].path == "/healthz" and $service.load_balancer[0].target_group_arn == $target.arn
    and $service.task_definition == $task.arn and $service.load_balancer[0].container_name == $app.name
    and ([$app.environment[].name] | contains(["APP_ENV", "DB_HOST", "DB_NAME", "DB_PORT", "DB_USER", "RATES__DATABASE__TLS_CA_FILE", "RATES__DATABASE__TLS_MODE"]))
    and [$app.secrets[].name] == ["DB_PASSWORD"] and ($app.image | endswith(":abc123")) and $app.stopTimeout == 30'

  tf "$work" plan -detailed-exitcode "${settings[@]}" -var=image_tag=abc123 >"$run/apply/log" || {
    cat "$run/apply/log" >&2
    die 'a second plan has changes'
  }
  echo 'second plan: no changes'

  : >"$STUB_DIR/calls"
  quiet tf "$work" apply -auto-approve "${settings[@]}" -var=image_tag=def456 || die 'apply of another tag'
  [[ $(hooks_done) == 'build task ' ]] || die "another tag should build and migrate, and nothing else: $(hooks_done)"

  quiet tf "$work" destroy -auto-approve "${settings[@]}" -var=image_tag=def456 || die 'destroy'
  [[ -z $(tf "$work" state list) ]] || die 'destroy left something behind'
  echo 'destroyed'

  # As docs/aws.md has it for pipelines: with the hooks off, everything that the migration needs and nothing more. With a
  # replica, since then the master user's password is ours to make.
  stub_world
  cp "$STUB_DIR/ecs-describe-tasks.2" "$STUB_DIR/ecs-describe-tasks.1"
  echo '{"DBInstances": [{"DBInstanceStatus": "available", "PendingModifiedValues": {}}]}' >"$STUB_DIR/rds-describe-db-instances.1"
  settings+=(-var=image_tag=abc123 -var=run_hooks=false -var='database={replicas=1}')
  quiet tf "$work" apply -auto-approve "${settings[@]}" \
    -target=module.vpc -target=module.ecr -target=module.ecs -target=module.rds -target=module.admin || die 'apply of what the migration needs'
  [[ ! -s $STUB_DIR/calls ]] || die "hooks ran although they are off: $(cat "$STUB_DIR/calls")"
  if tf "$work" state list | grep aws_ecs_service; then die 'a service was made before the migration'; fi
  read -ra arguments < <(tf "$work" output -json one_off_tasks | jq -r .migrate)
  succeeds "$work/scripts/run_task.sh" "${arguments[@]}"
  for user in app master; do
    read -ra arguments < <(tf "$work" output -json database_passwords | jq -r ".$user")
    succeeds "$work/scripts/database_password.sh" --poll 0 "${arguments[@]}"
  done
  jq -e '[.resources[] | select(.type == "aws_db_instance") | .instances[].attributes | .password, .password_wo] | length == 4 and all(. == null)' "$state" >/dev/null || die 'the password the machine is born with is in the state'
  quiet tf "$work" apply -auto-approve "${settings[@]}" || die 'apply of the rest'
  quiet tf "$work" plan -detailed-exitcode "${settings[@]}" || die 'a second plan with a replica has changes'
  quiet tf "$work" destroy -auto-approve "${settings[@]}" || die 'destroy'
  echo 'pipelines: the migration runs from the outputs, before any service'
}

# `refuses TEXT COMMAND...`: it fails, and says TEXT.
refuses() {
  local text=$1
  shift
  if "$@" >"$run/out" 2>&1 </dev/null; then die "should have failed with '$text': $*"; fi
  grep -qF -- "$text" "$run/out" || {
    cat "$run/out" >&2
    die "should have said '$text': $*"
  }
}

succeeds() {
  "$@" >"$run/out" 2>&1 </dev/null || {
    cat "$run/out" >&2
    die "should have succeeded: $*"
  }
}

called() {
  grep -qF -- "$1" "$STUB_DIR/calls" || die "expected a call: $1"
}

service_state() {
  local id=$1 definition=$2 rollout=$3 running=$4
  printf '{"services": [{"taskDefinition": "%s", "events": [{"message": "last words"}], "deployments": [{"id": "%s", "status": "PRIMARY", "taskDefinition": "%s", "rolloutState": "%s", "rolloutStateReason": "why", "runningCount": %d, "desiredCount": 2}]}]}' \
    "$definition" "$id" "$definition" "$rollout" "$running"
}

test_scripts() {
  have jq || return 0
  local script bin=$root/terraform/scripts PATH=$root/terraform/tests/stubs:$PATH
  local task=(--cluster c --task-definition td:1 --subnets "a,b" --security-group g --poll 0)
  local rollout=(--cluster c --service s --poll 0)

  for script in "$bin"/*.sh "$root/bucket-state/migrate.sh"; do
    succeeds "$script" --help
    grep -q '^usage: ' "$run/out" || die "$script --help says nothing"
  done
  for script in run_task database_password verify_rollout rollback; do
    refuses 'unknown argument: --frobnicate' "$bin/$script.sh" --frobnicate
    refuses 'needed (see --help)' "$bin/$script.sh"
  done
  refuses 'needs a value' "$bin/run_task.sh" --cluster
  refuses 'needs a value' "$bin/deploy.sh" --tag
  refuses 'needed (see --help)' "$bin/deploy.sh" --tag abc
  refuses 'cannot read' "$bin/deploy.sh" --tag abc --var-file nowhere.tfvars
  refuses 'needed (see --help)' "$bin/destroy.sh"

  stub_world
  succeeds "$bin/run_task.sh" "${task[@]}"
  grep -q '^first line$' "$run/out" || die "run_task.sh does not show the task's log"
  [[ $(grep -c '^first line$' "$run/out") -eq 1 ]] || die 'run_task.sh shows a line twice'
  called '--network-configuration awsvpcConfiguration={subnets=[a,b],securityGroups=[g],assignPublicIp=DISABLED}'
  called '--log-stream-name app/app/t1'

  stub_world
  echo '{"tasks": [{"lastStatus": "STOPPED", "containers": [{"name": "app", "exitCode": 65}]}]}' >"$STUB_DIR/ecs-describe-tasks.1"
  refuses 'failed with exit code 65' "$bin/run_task.sh" "${task[@]}"

  stub_world
  echo '{"tasks": [{"lastStatus": "STOPPED", "stoppedReason": "no image", "containers": [{"name": "app", "reason": "CannotPull"}]}]}' >"$STUB_DIR/ecs-describe-tasks.1"
  refuses 'never ran: no image; CannotPull' "$bin/run_task.sh" "${task[@]}"

  stub_world
  echo '{"tasks": [], "failures": [{"reason": "RESOURCE:ENI"}]}' >"$STUB_DIR/ecs-run-task.1"
  refuses 'could not be started: RESOURCE:ENI' "$bin/run_task.sh" "${task[@]}"

  stub_world
  rm "$STUB_DIR/ecs-describe-tasks.2"
  refuses 'did not end within 0 s' "$bin/run_task.sh" "${task[@]}" --timeout 0
  called 'aws ecs stop-task --cluster c --task arn:aws:ecs:eu-west-1:1:task/c/t1'

  stub_world
  succeeds "$bin/database_password.sh" --secret arn:s --username rates_app
  [[ $(jq -r .username "$STUB_DIR/secretsmanager-put-secret-value.stdin") == rates_app ]] || die 'database_password.sh stored another user'
  if grep -q hunter2 "$STUB_DIR/calls" "$run/out"; then die 'database_password.sh shows the password'; fi
  stub_world
  echo '{"VersionIdsToStages": {"v1": ["AWSCURRENT"]}}' >"$STUB_DIR/secretsmanager-describe-secret.1"
  succeeds "$bin/database_password.sh" --secret arn:s --username rates_app
  if grep -q put-secret-value "$STUB_DIR/calls"; then die 'database_password.sh replaced a password unasked'; fi
  succeeds "$bin/database_password.sh" --secret arn:s --username rates_app --rotate
  called 'aws secretsmanager put-secret-value'

  # The master user's: RDS is told first, and the secret is written when RDS has taken it.
  stub_world
  echo '{"DBInstances": [{"DBInstanceStatus": "resetting-master-credentials"}]}' >"$STUB_DIR/rds-describe-db-instances.1"
  echo '{"DBInstances": [{"DBInstanceStatus": "available", "PendingModifiedValues": {"MasterUserPassword": "****"}}]}' >"$STUB_DIR/rds-describe-db-instances.2"
  echo '{"DBInstances": [{"DBInstanceStatus": "available", "PendingModifiedValues": {}}]}' >"$STUB_DIR/rds-describe-db-instances.3"
  succeeds "$bin/database_password.sh" --secret arn:s --username rates_admin --instance rates-dev --poll 0
  jq -e '. == {DBInstanceIdentifier: "rates-dev", MasterUserPassword: "hunter2hunter2hunter2", ApplyImmediately: true}' "$STUB_DIR/rds-modify-db-instance.stdin" >/dev/null || die 'database_password.sh told RDS something else'
  [[ $(sed -n 's/^aws [a-z]* \(modify-[a-z-]*\|describe-db-[a-z-]*\|put-[a-z-]*\) .*/\1/p' "$STUB_DIR/calls" | tr '\n' ' ') == 'modify-db-instance describe-db-instances describe-db-instances describe-db-instances put-secret-value ' ]] || die 'database_password.sh must tell RDS, wait, then write the secret'
  if grep -q hunter2 "$STUB_DIR/calls" "$run/out"; then die 'database_password.sh shows the password'; fi
  stub_world
  touch "$STUB_DIR/rds-modify-db-instance.fails"
  if "$bin/database_password.sh" --secret arn:s --username rates_admin --instance rates-dev --poll 0 >/dev/null 2>&1; then die 'database_password.sh succeeded although RDS refused'; fi
  if grep -q put-secret-value "$STUB_DIR/calls"; then die 'database_password.sh wrote a secret that RDS refused'; fi

  stub_world
  service_state d1 td:2 IN_PROGRESS 1 >"$STUB_DIR/ecs-describe-services.1"
  service_state d1 td:2 COMPLETED 2 >"$STUB_DIR/ecs-describe-services.2"
  succeeds "$bin/verify_rollout.sh" "${rollout[@]}" --task-definition td:2
  stub_world
  service_state d1 td:2 IN_PROGRESS 1 >"$STUB_DIR/ecs-describe-services.1"
  service_state d2 td:2 COMPLETED 2 >"$STUB_DIR/ecs-describe-services.2"
  refuses 'deployment d1 was replaced by d2' "$bin/verify_rollout.sh" "${rollout[@]}"
  stub_world
  service_state d2 td:1 COMPLETED 2 >"$STUB_DIR/ecs-describe-services.1"
  refuses 's runs td:1 and not td:2' "$bin/verify_rollout.sh" "${rollout[@]}" --task-definition td:2
  grep -q 'last words' "$run/out" || die "verify_rollout.sh does not show the service's events"
  stub_world
  service_state d1 td:2 FAILED 0 >"$STUB_DIR/ecs-describe-services.1"
  refuses 'deployment d1 of td:2 failed: why' "$bin/verify_rollout.sh" "${rollout[@]}"
  stub_world
  service_state d1 td:2 COMPLETED 1 >"$STUB_DIR/ecs-describe-services.1"
  refuses 'is not done within 0 s' "$bin/verify_rollout.sh" "${rollout[@]}" --timeout 0
  stub_world
  echo '{"services": []}' >"$STUB_DIR/ecs-describe-services.1"
  refuses 'there is no service s in c' "$bin/verify_rollout.sh" "${rollout[@]}"

  stub_world
  service_state d1 arn/s:3 COMPLETED 2 >"$STUB_DIR/ecs-describe-services.1"
  service_state d2 arn/s:2 COMPLETED 2 >"$STUB_DIR/ecs-describe-services.2"
  echo '{"taskDefinitionArns": ["arn/s:4", "arn/s:3", "arn/s:2"]}' >"$STUB_DIR/ecs-list-task-definitions.1"
  echo '{"service": {"deployments": [{"id": "d2", "status": "PRIMARY"}, {"id": "d1", "status": "ACTIVE"}]}}' >"$STUB_DIR/ecs-update-service.1"
  succeeds "$bin/rollback.sh" "${rollout[@]}"
  called 'aws ecs update-service --cluster c --service s --task-definition arn/s:2'
  grep -q '^r/rates:old$' "$run/out" || die 'rollback.sh does not say what runs now'
  stub_world
  service_state d1 arn/s:1 COMPLETED 2 >"$STUB_DIR/ecs-describe-services.1"
  echo '{"taskDefinitionArns": ["arn/s:2", "arn/s:1"]}' >"$STUB_DIR/ecs-list-task-definitions.1"
  refuses 'nothing to go back to' "$bin/rollback.sh" "${rollout[@]}"

  test_deploy_and_destroy
  echo 'scripts: every one succeeds and refuses as it should'
}

# deploy.sh and destroy.sh call terraform itself, so here that is stubbed as well.
test_deploy_and_destroy() {
  local bin=$root/terraform/scripts stubs=$run/stub-terraform PATH=$PATH
  rm -rf "$stubs"
  mkdir -p "$stubs"
  printf '#!/usr/bin/env bash\nprintf "terraform %%s\\n" "$*" >>"$STUB_DIR/calls"\n[[ $1 != output ]] || cat "$STUB_DIR/outputs"\n[[ ! -e $STUB_DIR/terraform-$1.fails ]]\n' >"$stubs/terraform"
  chmod +x "$stubs/terraform"
  PATH=$stubs:$PATH

  stub_world
  echo '{"region": {"value": "eu-west-1"}, "cluster": {"value": "rates-dev"}, "curl": {"value": "curl http://x"}, "database": {"value": {"cluster": null, "writer": "rates-dev"}}, "services": {"value": {"rates": {"service": "s", "task_definition": "td:2"}}}}' >"$STUB_DIR/outputs"
  service_state d1 td:2 COMPLETED 2 >"$STUB_DIR/ecs-describe-services.1"
  succeeds "$bin/deploy.sh" --var-file "$root/terraform/environments/dev.tfvars" --tag abc123 -auto-approve
  called "terraform apply -var-file=$root/terraform/environments/dev.tfvars -var=image_tag=abc123 -auto-approve"
  grep -q '^curl http://x$' "$run/out" || die 'deploy.sh does not end with the request that answers'
  service_state d2 td:1 COMPLETED 2 >"$STUB_DIR/ecs-describe-services.1"
  refuses 's runs td:1 and not td:2' "$bin/deploy.sh" --var-file "$root/terraform/environments/dev.tfvars" --tag abc123

  refuses 'the state here is of rates-dev, not of rates-prod' "$bin/destroy.sh" --var-file "$root/terraform/environments/dev.tfvars" --yes rates-prod
  if grep -q 'terraform destroy' "$STUB_DIR/calls"; then die 'destroy.sh destroyed what was not named'; fi
  touch "$STUB_DIR/rds-create-db-snapshot.fails"
  if "$bin/destroy.sh" --var-file "$root/terraform/environments/dev.tfvars" --yes rates-dev >/dev/null 2>&1; then die 'destroy.sh went on without a snapshot'; fi
  if grep -q 'terraform destroy' "$STUB_DIR/calls"; then die 'destroy.sh destroyed without a snapshot'; fi
  rm "$STUB_DIR/rds-create-db-snapshot.fails"
  succeeds "$bin/destroy.sh" --var-file "$root/terraform/environments/dev.tfvars" --yes rates-dev -auto-approve
  called 'aws rds create-db-snapshot --db-instance-identifier rates-dev --db-snapshot-identifier rates-dev-last-'
  [[ $(sed -n 's/^terraform \(apply\|destroy\) .*-var=protected=false.*-auto-approve$/\1/p' "$STUB_DIR/calls" | tr '\n' ' ') == 'apply destroy ' ]] || die 'destroy.sh must turn the protection off, then destroy'
}

# `tool NAME PACKAGE...`: a command from a virtual environment of ours, made at the first use.
tool() {
  local name=$1
  shift
  if [[ ! -x $run/venv-$name/bin/$name ]]; then
    rm -rf "$run/venv-$name"
    python3 -m venv "$run/venv-$name"
    "$run/venv-$name/bin/pip" install -q --disable-pip-version-check "$@" || {
      rm -rf "$run/venv-$name"
      skip "$part: $1 could not be installed from PyPI"
      return 1
    }
  fi
}

test_backend() {
  provider_in_reach && have jq && tool moto_server 'moto[s3,server]==5.2.5' boto3 || return 0
  local work=$run/backend port moto settings lock holder
  fresh_copy "$work"
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$run/venv-moto_server/bin/moto_server" -H 127.0.0.1 -p "$port" >"$work/moto.log" 2>&1 &
  moto=$!
  # shellcheck disable=SC2064  # this very process
  trap "kill $moto 2>/dev/null || true" EXIT
  local endpoint=http://127.0.0.1:$port
  python3 - "$endpoint" <<'PYTHON' || die 'moto does not answer'
import sys, time, urllib.request
for _ in range(300):
    try:
        urllib.request.urlopen(sys.argv[1] + "/moto-api/"); break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit(1)
PYTHON
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1 AWS_EC2_METADATA_DISABLED=true
  # What a test needs besides what backend.hcl says: moto in the place of AWS.
  settings=(-backend-config=use_path_style=true -backend-config="endpoints={s3=\"$endpoint\",sts=\"$endpoint\",iam=\"$endpoint\"}")

  # bucket-state's provider is not moto's: the bucket itself is made by hand, under the name the root gives it.
  quiet tf "$work/bucket-state" init -input=false || die 'bucket-state: init'
  quiet tf "$work/bucket-state" apply -auto-approve -input=false || die 'bucket-state: apply'
  "$run/venv-moto_server/bin/python" - "$endpoint" "$(tf "$work/bucket-state" output -raw bucket)" <<'PYTHON'
import sys, boto3
s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="eu-west-1")
s3.create_bucket(Bucket=sys.argv[2], CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
s3.put_bucket_versioning(Bucket=sys.argv[2], VersioningConfiguration={"Status": "Enabled"})
PYTHON

  quiet "$work/bucket-state/migrate.sh" "${settings[@]}" || die 'bucket-state: migration'
  [[ -n $(tf "$work/bucket-state" state list) ]] || die 'bucket-state: the state did not move into the bucket'
  quiet tf "$work/bucket-state" plan -detailed-exitcode -input=false || die 'bucket-state: changes after the migration'
  quiet "$work/bucket-state/migrate.sh" "${settings[@]}" || die 'bucket-state: a second migration'
  echo 'bucket-state: its own state is in its bucket'

  quiet tf "$work/terraform" init -input=false -backend-config=../bucket-state/backend.hcl -backend-config=key=rates/dev.tfstate "${settings[@]}" || die 'terraform: init with backend.hcl'
  lock="$work/terraform"
  # A lock held by another: an apply that has taken it and then asks a question nobody answers.
  mkfifo "$work/never"
  terraform -chdir="$lock" apply -no-color -var=environment=dev -var=image_tag=abc123 -var=run_hooks=false -target=module.ecs <"$work/never" >"$work/holder.log" 2>&1 &
  holder=$!
  exec 9>"$work/never"
  # shellcheck disable=SC2064  # these very processes
  trap "kill $moto $holder 2>/dev/null || true" EXIT
  python3 - "$work/holder.log" <<'PYTHON' || die 'the first apply never asked'
import pathlib, sys, time
for _ in range(600):
    if "Enter a value" in pathlib.Path(sys.argv[1]).read_text(): break
    time.sleep(0.1)
else:
    sys.exit(1)
PYTHON
  refuses 'Error acquiring the state lock' tf "$lock" apply -no-color -auto-approve -input=false -var=environment=dev -var=image_tag=abc123 -var=run_hooks=false -target=module.ecs
  grep -q 'Who:' "$run/out" || die 'the refusal does not say who holds the lock'
  local id
  id=$(sed -n 's/^[^A-Za-z]*ID: *//p' "$run/out" | head -1)
  # The holder dies without giving the lock back, as a machine that is switched off does.
  kill -KILL "$holder"
  wait "$holder" 2>/dev/null || true
  exec 9>&-
  refuses 'Error acquiring the state lock' tf "$lock" plan -no-color -input=false -var=environment=dev -var=image_tag=abc123 -var=run_hooks=false -target=module.ecs
  refuses 'lock' tf "$lock" force-unlock -force 00000000-0000-0000-0000-000000000000
  succeeds tf "$lock" force-unlock -force "$id"
  succeeds tf "$lock" apply -no-color -auto-approve -input=false -var=environment=dev -var=image_tag=abc123 -var=run_hooks=false -target=module.ecs
  echo 'backend: a lock held by another is refused with its holder, and can be broken by its id'

  # The scripts' aws calls for real, where moto has the service: the password goes into the secret.
  if have aws; then
    export AWS_ENDPOINT_URL=$endpoint
    local secret
    secret=$(aws secretsmanager create-secret --name app --query ARN --output text)
    succeeds "$root/terraform/scripts/database_password.sh" --secret "$secret" --username rates_app
    aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output text >"$work/first"
    jq -e '.username == "rates_app" and (.password | test("^[A-Za-z0-9]{40}$"))' "$work/first" >/dev/null || die 'the secret does not hold a user and a password of 40 characters'
    succeeds "$root/terraform/scripts/database_password.sh" --secret "$secret" --username rates_app
    [[ $(aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output text) == "$(cat "$work/first")" ]] || die 'a second run changed the password'
    succeeds "$root/terraform/scripts/database_password.sh" --secret "$secret" --username rates_app --rotate
    [[ $(aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output text) != "$(cat "$work/first")" ]] || die 'a rotation kept the password'
    unset AWS_ENDPOINT_URL
    echo 'database_password.sh: made once, kept, rotated'
  fi
  kill "$moto"
  trap - EXIT
}

test_checkov() {
  provider_in_reach && have jq && tool checkov 'checkov==3.3.30' || return 0
  plan_environments
  local checkov=("$run/venv-checkov/bin/checkov" --compact --quiet --skip-download --soft-fail --output json)
  (
    cd "$run/plans"
    "${checkov[@]}" --framework terraform -d terraform >terraform.checkov
    "${checkov[@]}" --framework terraform -d bucket-state >bucket-state.checkov
    "${checkov[@]}" --framework terraform_plan -f prod.json >prod.checkov
    python3 "$root/terraform/tests/checkov.py" "$root/terraform/tests/checkov-accepted.txt" \
      code=terraform.checkov code=bucket-state.checkov plan=prod.checkov
  ) || die 'checkov: mend it, or accept it with a reason in terraform/tests/checkov-accepted.txt'
}

test_docs() {
  "$root/images/architecture.py" | cmp - "$root/images/architecture.svg" || die 'run images/architecture.py > images/architecture.svg, and rsvg-convert for the PNG'
  python3 "$root/terraform/scripts/readme_tables.py" --check || die 'run terraform/scripts/readme_tables.py'
}

while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    fmt | validate | test | plans | apply | scripts | backend | checkov | docs) chosen+=("$1") && shift ;;
    *) die "unknown part: $1 (see --help)" ;;
  esac
done
mkdir -p "$run"
unset AWS_PROFILE
# One that names no file only makes terraform warn at every turn.
[[ -r ${TF_CLI_CONFIG_FILE:-} ]] || unset TF_CLI_CONFIG_FILE
for part in "${chosen[@]:-${parts[@]}}"; do
  began=$SECONDS
  "test_$part"
  echo "$part: $((SECONDS - began)) s"
done
