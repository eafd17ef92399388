package ami

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

func complete(t *testing.T, fields map[string]any) (Settings, []deploy.Problem) {
	t.Helper()
	var s Settings
	if err := deploy.Decode(fields, &s); err != nil {
		t.Fatal(err)
	}
	return s, s.Complete()
}

func TestCompleteFillsIn(t *testing.T) {
	t.Parallel()
	s, problems := complete(t, map[string]any{
		"region": "eu-central-1", "assume_role": map[string]any{"role_arn": "arn:aws:iam::111122223333:role/deploy"},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if s.Method != EBSDirect || s.Concurrency != 64 || s.AssumeRole.SessionName == "" {
		t.Errorf("filled in: %+v", s)
	}
}

func TestCompleteFindsProblems(t *testing.T) {
	t.Parallel()
	const key, org = "arn:aws:kms:eu-central-1:111122223333:key/1", "arn:aws:organizations::111122223333:organization/o-abc"
	many := map[string]string{}
	for i := range 43 {
		many[strings.Repeat("x", i+1)] = ""
	}
	tests := map[string]struct {
		change map[string]any
		want   string // the field, "" for no problem
	}{
		"nothing":               {nil, ""},
		"no region":             {map[string]any{"region": ""}, "region"},
		"zone":                  {map[string]any{"region": "Frankfurt"}, "region"},
		"government":            {map[string]any{"region": "us-gov-west-1"}, ""},
		"method":                {map[string]any{"method": "ftp"}, "method"},
		"no bucket":             {map[string]any{"method": "s3_import"}, "s3_bucket"},
		"bucket":                {map[string]any{"method": "s3_import", "s3_bucket": "pim-images-sg"}, ""},
		"bucket without import": {map[string]any{"s3_bucket": "pim-images-sg"}, ""},
		"prefix":                {map[string]any{"s3_prefix": "/pim/"}, "s3_prefix"},
		"import with parent":    {map[string]any{"method": "s3_import", "s3_bucket": "pim", "parent_snapshot": "previous"}, "parent_snapshot"},
		"parent":                {map[string]any{"parent_snapshot": "snap-0123456789abcdef0"}, ""},
		"bad parent":            {map[string]any{"parent_snapshot": "ami-0123456789abcdef0"}, "parent_snapshot"},
		"encrypted parent":      {map[string]any{"parent_snapshot": "previous", "encrypted": true}, "encrypted"},
		"key alone":             {map[string]any{"kms_key_id": key}, "kms_key_id"},
		"key":                   {map[string]any{"kms_key_id": key, "encrypted": true}, ""},
		"alias":                 {map[string]any{"kms_key_id": "alias/pim", "encrypted": true}, "kms_key_id"},
		"key for no copy":       {map[string]any{"kms_key_ids": map[string]any{"us-east-1": key}}, "kms_key_ids"},
		"default key shared":    {map[string]any{"encrypted": true, "share_with": []string{"111122223333"}}, "kms_key_id"},
		"default key of a copy": {map[string]any{
			"encrypted": true, "kms_key_id": key, "regions": []string{"us-east-1"}, "share_with": []string{"111122223333"},
		}, "kms_key_ids"},
		"public and encrypted": {map[string]any{
			"encrypted": true, "kms_key_id": key, "launch_permissions": map[string]any{"groups": []string{"all"}},
		}, "launch_permissions"},
		"account":      {map[string]any{"share_with": []string{"1234"}}, "share_with"},
		"group":        {map[string]any{"launch_permissions": map[string]any{"groups": []string{"some"}}}, "launch_permissions"},
		"organization": {map[string]any{"launch_permissions": map[string]any{"organization_arns": []string{org}}}, ""},
		"organization as unit": {map[string]any{
			"launch_permissions": map[string]any{"organizational_unit_arns": []string{org}},
		}, "launch_permissions"},
		"reserved tag":  {map[string]any{"tags": map[string]any{"pim:key": "x"}}, "tags"},
		"AWS's tag":     {map[string]any{"tags": map[string]any{"AWS:x": "x"}}, "tags"},
		"long tag":      {map[string]any{"tags": map[string]any{"x": strings.Repeat("ü", 256)}}, "tags"},
		"wide tag":      {map[string]any{"tags": map[string]any{"x": strings.Repeat("ü", 255)}}, ""},
		"many tags":     {map[string]any{"tags": many}, "tags"},
		"copies":        {map[string]any{"regions": []string{"us-east-1", "eu-central-1", "us-east-1"}}, ""},
		"bad copy":      {map[string]any{"regions": []string{"everywhere!"}}, "regions"},
		"boot mode":     {map[string]any{"boot_mode": "bios"}, "boot_mode"},
		"deprecation":   {map[string]any{"deprecate_after": "soon"}, "deprecate_after"},
		"public for 3y": {map[string]any{"deprecate_after": "1095d", "launch_permissions": map[string]any{"groups": []string{"all"}}}, "deprecate_after"},
		"role":          {map[string]any{"assume_role": map[string]any{"role_arn": "deploy"}}, "assume_role"},
		"no role":       {map[string]any{"assume_role": map[string]any{"external_id": "x"}}, "assume_role"},
		"endpoint":      {map[string]any{"endpoints": map[string]any{"s3": "s3.example.test"}}, "endpoints"},
		"endpoint URL":  {map[string]any{"endpoints": map[string]any{"s3": "https://s3.example.test"}}, ""},
		"concurrency":   {map[string]any{"concurrency": 1000}, "concurrency"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fields := map[string]any{"region": "eu-central-1"}
			for k, v := range test.change {
				fields[k] = v
			}
			_, problems := complete(t, fields)
			if test.want == "" && len(problems) > 0 {
				t.Errorf("problems: %v", problems)
			}
			hit := slices.ContainsFunc(problems, func(p deploy.Problem) bool { return p.Field == test.want && p.Detail != "" })
			if test.want != "" && !hit {
				t.Errorf("problems: %+v, want one of %s", problems, test.want)
			}
		})
	}
}

// Every field has an effect that somebody has thought about.
func TestEffects(t *testing.T) {
	t.Parallel()
	want := map[string]deploy.Effect{
		"region": deploy.Move, "method": deploy.Nothing, "s3_bucket": deploy.Nothing, "s3_prefix": deploy.Nothing,
		"regions": deploy.InPlace, "share_with": deploy.InPlace, "launch_permissions": deploy.InPlace,
		"deprecate_after": deploy.InPlace, "encrypted": deploy.Recreate, "kms_key_id": deploy.Recreate,
		"kms_key_ids": deploy.Recreate, "parent_snapshot": deploy.Nothing, "boot_mode": deploy.Recreate,
		"tags": deploy.InPlace, "profile": deploy.Nothing, "assume_role": deploy.Nothing, "endpoints": deploy.Nothing,
		"concurrency": deploy.Nothing,
	}
	for _, field := range deploy.Fields(Settings{}) {
		if effect, ok := want[field]; !ok || Effect(field) != effect {
			t.Errorf("%s has effect %v, want %v", field, Effect(field), effect)
		}
	}
}

func TestSettingsSurviveTheState(t *testing.T) {
	t.Parallel()
	s, _ := complete(t, map[string]any{
		"region": "eu-central-1", "regions": []string{"us-east-1"}, "tags": map[string]any{"team": "images"}, "encrypted": true,
		"launch_permissions": map[string]any{"groups": []string{"all"}}, "endpoints": map[string]any{"ec2": "https://ec2.example.test"},
		"assume_role": map[string]any{"role_arn": "arn:aws:iam::111122223333:role/deploy", "external_id": "x"},
	})
	stored, err := deploy.Encode(&s)
	if err != nil {
		t.Fatal(err)
	}
	var back Settings
	if err := deploy.DecodeStored(stored, &back); err != nil {
		t.Fatal(err)
	}
	again, err := deploy.Encode(&back)
	if err != nil || len(again) != len(stored) || back.Endpoints != s.Endpoints || back.AssumeRole != s.AssumeRole ||
		back.Tags["team"] != "images" || !slices.Equal(back.LaunchPermissions.Groups, s.LaunchPermissions.Groups) {
		t.Errorf("stored %v\nread back %+v: %v", stored, back, err)
	}
}

func TestDeprecation(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"90d": 90 * 24 * time.Hour, "2160h": 2160 * time.Hour, "1h": time.Hour, "3650d": maxDeprecation,
	} {
		if got, err := deprecation(text); err != nil || got != want {
			t.Errorf("%s is %v: %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "1m", "3651d", "-1d", "1.5d", "9999999d", "90"} {
		if got, err := deprecation(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}
