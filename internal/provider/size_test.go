package provider

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

func TestFormatSizeIsReadBack(t *testing.T) {
	for n, want := range map[int64]string{20 << 30: "20G", 1 << 40: "1T", 1536 << 20: "1536M", 3 << 10: "3K"} {
		if got := formatSize(n); got != want {
			t.Errorf("formatSize(%d) = %q, want %q", n, got, want)
		}
		if back, err := profile.ParseSize(want); err != nil || back != n {
			t.Errorf("profile.ParseSize(%q) = %d, %v; want %d", want, back, err, n)
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
		got, diags := size(tc.a).StringSemanticEquals(t.Context(), size(tc.b))
		if diags.HasError() || got != tc.want {
			t.Errorf("%s == %s: %v, %v; want %v", tc.a, tc.b, got, diags, tc.want)
		}
	}
}
