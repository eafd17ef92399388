package provider

import (
	"context"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"20G": 20 << 30, "512M": 512 << 20, "20GiB": 20 << 30, "20 GB": 20 << 30, "1T": 1 << 40, "4096": 4096, "8K": 8192,
	} {
		got, err := parseSize(in)
		if err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "G", "-1G", "1.5G", "20X", "0", "0G", "99999999999T", "20G ", "9223372036854775808"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", in, got)
		}
	}
}

func TestFormatSizeIsReadBack(t *testing.T) {
	for n, want := range map[int64]string{20 << 30: "20G", 1 << 40: "1T", 1536 << 20: "1536M", 1000: "1000", 3 << 10: "3K"} {
		if got := formatSize(n); got != want {
			t.Errorf("formatSize(%d) = %q, want %q", n, got, want)
		}
		if back, err := parseSize(want); err != nil || back != n {
			t.Errorf("parseSize(%q) = %d, %v; want %d", want, back, err, n)
		}
	}
}

func TestSizesAreComparedByMeaning(t *testing.T) {
	size := func(s string) sizeValue { return sizeValue{basetypes.NewStringValue(s)} }
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"20G", "20480M", true},
		{"20G", "20GiB", true},
		{"20G", "21G", false},
		{"20G", "large", false},
		{"large", "large", false},
	} {
		got, diags := size(tc.a).StringSemanticEquals(context.Background(), size(tc.b))
		if diags.HasError() || got != tc.want {
			t.Errorf("%s == %s: %v, %v; want %v", tc.a, tc.b, got, diags, tc.want)
		}
	}
}
