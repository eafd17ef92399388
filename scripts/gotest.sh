#!/usr/bin/env bash
# Runs one kind of Go tests, with the runner's own closing line (DONE N tests …) last.
#
#   scripts/gotest.sh unit    every package, under the race detector; S3 is a real server (versitygw)
#   scripts/gotest.sh acc     the provider's acceptance tests, with OpenTofu and with a terraform on PATH
#   scripts/gotest.sh e2e     real installations; takes most of an hour without hardware acceleration
#   scripts/gotest.sh matrix  an installation for each kind of machine; half an hour each without hardware acceleration
#
# E2E_TIMEOUT bounds the last two (80m, 6h). PIM_E2E_DIR keeps the installer, its packages and the installed systems
# between runs. ROWS names rows of the matrix (all); FORCE=1 runs those again that have passed.
set -euo pipefail

kind=${1:?usage: scripts/gotest.sh unit|acc|e2e|matrix}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
gotestsum=$(scripts/tool.sh gotestsum)

# A developer's own CLI settings must not reach a test, and a setting that names a missing file breaks the CLI.
export TF_CLI_CONFIG_FILE=/dev/null CHECKPOINT_DISABLE=1
unset TF_ACC TF_ACC_TERRAFORM_PATH TF_ACC_PROVIDER_HOST TF_CLI_ARGS TF_DATA_DIR TF_WORKSPACE TF_LOG

# acc runs the acceptance tests with the CLI at $1. The test library looks for the provider under Terraform's
# registry; OpenTofu asks its own, so the name of that has to be given ($2).
acc() {
	echo "-- $(basename "$1") at $1"
	TF_ACC=1 TF_ACC_TERRAFORM_PATH=$1 TF_ACC_PROVIDER_HOST=$2 \
		"$gotestsum" --format testname --format-hide-empty-pkg -- -count=1 -timeout 30m -run '^TestAcc' ./internal/provider
}

# e2e runs the end-to-end test $1 with the pinned OpenTofu, for no longer than E2E_TIMEOUT or $2.
e2e() {
	TF_ACC_TERRAFORM_PATH=$(scripts/tool.sh tofu)
	PIM_E2E_DIR=${PIM_E2E_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/terraform-provider-pim/debtest}
	export TF_ACC_TERRAFORM_PATH PIM_E2E_DIR
	exec "$gotestsum" --format standard-verbose -- \
		-tags e2e -count=1 -timeout "${E2E_TIMEOUT:-$2}" -v -run "^$1\$" ./internal/e2e
}

case $kind in
unit)
	PIM_VERSITYGW=${PIM_VERSITYGW:-$(scripts/tool.sh versitygw)}
	export PIM_VERSITYGW
	exec "$gotestsum" --format pkgname --format-hide-empty-pkg -- -race -parallel 8 -timeout 20m ./... # many tests wait more than they work
	;;
acc)
	acc "$(scripts/tool.sh tofu)" registry.opentofu.org
	if terraform=$(command -v terraform); then
		acc "$terraform" registry.terraform.io
	else
		echo "-- no terraform on PATH: tested with OpenTofu only"
	fi
	;;
e2e) e2e TestImage 80m ;;
matrix) e2e TestMatrix 6h ;;
*)
	echo "gotest.sh: unknown kind of tests: $kind" >&2
	exit 2
	;;
esac
