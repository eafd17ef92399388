#!/usr/bin/env bash
# Writes docs/ from the provider's schema, templates/ and examples/, without any network.
#
#   scripts/docs.sh           writes docs/
#   scripts/docs.sh --check   changes nothing; fails and shows the difference when docs/ is not up to date
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
docs=$(scripts/tool.sh tfplugindocs)
tofu=$(scripts/tool.sh tofu)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# tfplugindocs would fetch a CLI and run it; given a schema, it needs neither. The schema comes from OpenTofu with
# the provider just built, found by dev_overrides, and under the short name tfplugindocs looks for.
go build -buildvcs=false -o "$tmp/bin/terraform-provider-pim" .
cat >"$tmp/cli.tfrc" <<-CONFIG
	provider_installation {
	  dev_overrides { "pim-tools/pim" = "$tmp/bin" }
	}
CONFIG
mkdir "$tmp/module"
cat >"$tmp/module/main.tf" <<-'MODULE'
	terraform {
	  required_providers {
	    pim = { source = "pim-tools/pim" }
	  }
	}
MODULE
TF_CLI_CONFIG_FILE=$tmp/cli.tfrc "$tofu" -chdir="$tmp/module" providers schema -json |
	sed 's#"[^"]*/pim-tools/pim":#"pim":#' >"$tmp/schema.json"

# Generated into a copy, since tfplugindocs writes below the folder it reads from.
mkdir "$tmp/provider"
for dir in docs examples templates; do
	if [ -d "$dir" ]; then cp -R "$dir" "$tmp/provider/"; fi
done
"$docs" generate --provider-dir "$tmp/provider" --provider-name pim --rendered-provider-name PIM \
	--providers-schema "$tmp/schema.json" >"$tmp/log" 2>&1 || { cat "$tmp/log" >&2; exit 1; }

if [ "${1:-}" = --check ]; then
	diff -ruN docs "$tmp/provider/docs" || { echo "docs/ is out of date: run 'make docs' and commit the result" >&2; exit 1; }
	echo "docs/ is up to date"
else
	rm -rf docs
	cp -R "$tmp/provider/docs" docs
	echo "wrote $(find docs -type f | wc -l | tr -d ' ') pages below docs/"
fi
