package deploy

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// place is a target's settings as a test would have them.
type place struct {
	Region string            `yaml:"region"`
	Cores  int64             `yaml:"cores"`
	Secure bool              `yaml:"secure"`
	Shared []string          `yaml:"shared"`
	Tags   map[string]string `yaml:"tags"`
	Role   *role             `yaml:"role"`
	Token  string            `yaml:"token" secret:"true"`
	own    string
}

type role struct {
	ARN string `yaml:"role_arn" json:"role_arn"`
}

func TestDecode(t *testing.T) {
	var got place
	err := Decode(map[string]any{
		"region": "ap-southeast-1", "cores": 2, "secure": true, "shared": []any{"1", "2"},
		"tags": map[string]any{"a": "b"}, "role": map[string]any{"role_arn": "arn"}, "token": "hush",
	}, &got)
	want := place{
		Region: "ap-southeast-1", Cores: 2, Secure: true, Shared: []string{"1", "2"},
		Tags: map[string]string{"a": "b"}, Role: &role{"arn"}, Token: "hush",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDecode_names(t *testing.T) {
	for name, tc := range map[string]struct {
		fields map[string]any
		field  string
		says   string
	}{
		"unknown":        {map[string]any{"regoin": "x"}, "regoin", "no such field; known are region, cores"},
		"wrong type":     {map[string]any{"cores": "two"}, "cores", "two"},
		"list for text":  {map[string]any{"region": []any{"x"}}, "region", "cannot unmarshal"},
		"unknown nested": {map[string]any{"role": map[string]any{"arn": "x"}}, "role", "no such field"},
	} {
		t.Run(name, func(t *testing.T) {
			var s place
			err := Decode(tc.fields, &s)
			var wrong *FieldError
			if !errors.As(err, &wrong) || wrong.Field != tc.field || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %s: …%s…", err, tc.field, tc.says)
			}
		})
	}
}

func TestEncode_isReadBackWithoutSecrets(t *testing.T) {
	s := place{
		Region: "x", Cores: 2, Secure: true, Shared: []string{"1"}, Tags: map[string]string{"a": "b"},
		Role: &role{"arn"}, Token: "hush", own: "mine",
	}
	stored, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"region": "x", "cores": "2", "secure": "true", "shared": `["1"]`, "tags": `{"a":"b"}`, "role": `{"role_arn":"arn"}`,
	}
	if !reflect.DeepEqual(stored, want) {
		t.Errorf("stored %v", stored)
	}
	var back place
	stored["from_a_later_version"] = "?"
	if err := DecodeStored(stored, &back); err != nil {
		t.Fatal(err)
	}
	if back.Token != "" {
		t.Errorf("read back the secret %q", back.Token)
	}
	if back.Token, back.own = s.Token, s.own; !reflect.DeepEqual(back, s) {
		t.Errorf("read back %+v", back)
	}
	stored["cores"] = "two"
	var wrong *FieldError
	if err := DecodeStored(stored, &back); !errors.As(err, &wrong) || wrong.Field != "cores" {
		t.Errorf("a number that is none: %v", err)
	}
}

func TestFields(t *testing.T) {
	if got := Fields(&place{}); !slices.Equal(got, []string{"region", "cores", "secure", "shared", "tags", "role", "token"}) {
		t.Errorf("got %q", got)
	}
}
