#!/usr/bin/env bash
# Runs a one-off Fargate task, shows its log while it runs, and exits with its exit code.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: run_task.sh --cluster NAME --task-definition ARN --subnets ID,ID --security-group ID [--command WORDS]
                   [--timeout SECONDS] [--poll SECONDS]

Runs one task and prints the log of its container "app". Exits with the exit code of that container, or with 1 if the
task did not start or was stopped after the timeout.

  --cluster NAME, --task-definition ARN, --subnets ID,ID, --security-group ID
                    what to run and where. `terraform output one_off_tasks` prints these arguments
  --command WORDS   run these arguments, separated by spaces, instead of the task's own, such as "key list"
  --timeout SECONDS stop the task after this time (default: 1800)
  --poll SECONDS    time between two looks at the task (default: 5)

Region and credentials come from the environment, as for the aws command.
TEXT
}

die() {
  echo "run_task.sh: $*" >&2
  exit 1
}

cluster='' task_definition='' subnets='' security_group='' command='' timeout=1800 poll=5
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --cluster | --task-definition | --subnets | --security-group | --command | --timeout | --poll)
      (($# > 1)) || die "$1 needs a value (see --help)"
      name=${1#--}
      printf -v "${name//-/_}" %s "$2"
      shift 2
      ;;
    *) die "unknown argument: $1 (see --help)" ;;
  esac
done
for needed in cluster task_definition subnets security_group; do
  [[ -n ${!needed} ]] || die "--cluster, --task-definition, --subnets and --security-group are all needed (see --help)"
done
for program in aws jq; do
  command -v "$program" >/dev/null || die "$program is not installed"
done

# Where the container's log will be.
options=$(aws ecs describe-task-definition --task-definition "$task_definition" --output json |
  jq -r '.taskDefinition.containerDefinitions[] | select(.name == "app") | .logConfiguration.options | [."awslogs-group", ."awslogs-stream-prefix"] | @tsv')
IFS=$'\t' read -r log_group log_prefix <<<"$options"

overrides=$(jq -nc --arg command "$command" \
  'if $command == "" then {} else {containerOverrides: [{name: "app", command: [$command | splits(" +") | select(. != "")]}]} end')
started=$(aws ecs run-task --cluster "$cluster" --task-definition "$task_definition" --count 1 --launch-type FARGATE \
  --network-configuration "awsvpcConfiguration={subnets=[$subnets],securityGroups=[$security_group],assignPublicIp=DISABLED}" \
  --overrides "$overrides" --output json)
task=$(jq -r '.tasks[0].taskArn // empty' <<<"$started")
[[ -n $task ]] || die "could not be started: $(jq -r '[.failures[]? | .reason] | join(", ")' <<<"$started")"
stream=$log_prefix/app/${task##*/}
echo "run_task.sh: ${task_definition##*/} runs as ${task##*/}; its log is $log_group $stream" >&2

token=''
# Prints what is new in the log. There is no stream before the first line, which is no error.
show_log() {
  local page next
  while :; do
    page=$(aws logs get-log-events --log-group-name "$log_group" --log-stream-name "$stream" --start-from-head \
      ${token:+--next-token "$token"} --output json 2>/dev/null) || return 0
    jq -r '.events[].message' <<<"$page"
    next=$(jq -r '.nextForwardToken // empty' <<<"$page")
    # The same token again says that this was the end.
    [[ -n $next && $next != "$token" ]] || return 0
    token=$next
  done
}

deadline=$((SECONDS + timeout))
while :; do
  state=$(aws ecs describe-tasks --cluster "$cluster" --tasks "$task" --output json)
  show_log
  [[ $(jq -r '.tasks[0].lastStatus' <<<"$state") != STOPPED ]] || break
  if ((SECONDS >= deadline)); then
    aws ecs stop-task --cluster "$cluster" --task "$task" --reason "run_task.sh: over $timeout s" >/dev/null
    die "$task did not end within $timeout s and was stopped"
  fi
  sleep "$poll"
done

code=$(jq -r '.tasks[0].containers[] | select(.name == "app") | .exitCode // empty' <<<"$state")
if [[ -z $code ]]; then
  # Image, secrets or network: the container never ran, and the reason is the only thing there is to read.
  die "never ran: $(jq -r '.tasks[0] | [.stoppedReason, (.containers[] | .reason // empty)] | join("; ")' <<<"$state")"
fi
((code == 0)) || echo "run_task.sh: ${task_definition##*/} failed with exit code $code" >&2
exit "$code"
