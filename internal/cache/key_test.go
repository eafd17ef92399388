package cache

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"
)

// A changed value here makes every image of every user stale.
func TestKeyIsStable(t *testing.T) {
	in := Inputs{{"scripts", "base dev"}, {"arch", "x86_64"}, {"script:base", Digest([]byte("echo"))}}
	const form = `{"version":1,"inputs":{"arch":"x86_64","script:base":"sha256:092c79e8f80e559e404bcf660c48f3522b67aba9ff1484b0367e1a4ddef7431d","scripts":"base dev"}}`
	if got := string(canonical(in.Map())); got != form {
		t.Errorf("canonical form\n got %s\nwant %s", got, form)
	}
	const key = "1114709226929ef4a15cf508d09ba2728cfba2fc1f0da42bb57028110dd8e327"
	if got := in.Key(); got != key {
		t.Errorf("got %s, want %s", got, key)
	}
	if got := Short(key); got != key[:12] {
		t.Errorf("Short: got %s", got)
	}
	if got := Short("abc"); got != "abc" {
		t.Errorf("Short of a short key: got %s", got)
	}
}

func TestKeyIgnoresOrderOnly(t *testing.T) {
	base := Inputs{{"a", "1"}, {"b", "2"}}.Key()
	for name, c := range map[string]struct {
		in   Inputs
		same bool
	}{
		"another order":         {Inputs{{"b", "2"}, {"a", "1"}}, true},
		"a part twice":          {Inputs{{"a", "1"}, {"b", "2"}, {"a", "1"}}, true},
		"another value":         {Inputs{{"a", "1"}, {"b", "3"}}, false},
		"another name":          {Inputs{{"a", "1"}, {"c", "2"}}, false},
		"values swapped":        {Inputs{{"a", "2"}, {"b", "1"}}, false},
		"a part missing":        {Inputs{{"a", "1"}}, false},
		"an empty part more":    {Inputs{{"a", "1"}, {"b", "2"}, {"c", ""}}, false},
		"text across the parts": {Inputs{{"a", `1","b":"2`}}, false},
		"a name again":          {Inputs{{"a", "1"}, {"b", "2"}, {"a", "9"}}, false},
	} {
		if got := c.in.Key() == base; got != c.same {
			t.Errorf("%s: same key %v, want %v", name, got, c.same)
		}
	}
}

func TestMapLosesNoPart(t *testing.T) {
	got := Inputs{{"s", "1"}, {"s", "2"}, {"s", "1"}, {"s", "3"}, {"s", "3"}}.Map()
	if want := map[string]string{"s": "1", "s#2": "2", "s#3": "3"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// FuzzCanonical: the form of a map is JSON that says what the map says, and no other map has it.
func FuzzCanonical(f *testing.F) {
	f.Add("a", "1", "b", "2", "a", "1", "b", "2")
	f.Add("a", `1","b":"2`, "", "", "a", "1", "b", "2")
	f.Add("a", "\xff", "", "", "a", "\xfe", "", "")
	f.Add("a", "\xff", "", "", "a", `\udcff`, "", "")
	f.Add("a", "\xed\xb3\xbf", "", "", "a", "\ufffd", "", "")
	f.Add("a\x00", "\u2028<", "", "", "a", "\x7f", "", "")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, l1, w1, l2, w2 string) {
		m := map[string]string{k1: v1, k2: v2}
		o := map[string]string{l1: w1, l2: w2}
		form := canonical(m)
		if same := bytes.Equal(form, canonical(o)); same != maps.Equal(m, o) {
			t.Errorf("%q and %q: same form %v", m, o, same)
		}
		var back struct {
			Version int
			Inputs  map[string]string
		}
		if err := json.Unmarshal(form, &back); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		if valid := utf8.ValidString(k1 + "|" + v1 + "|" + k2 + "|" + v2); valid && !maps.Equal(back.Inputs, m) {
			t.Errorf("%s says %q, not %q", form, back.Inputs, m)
		}
		parts := Inputs{{k1, v1}, {k2, v2}}
		if key := parts.Key(); len(key) != 64 || strings.Trim(key, "0123456789abcdef") != "" {
			t.Errorf("key %q", key)
		}
		if k1 == k2 && v1 != v2 && len(parts.Map()) != 2 {
			t.Errorf("%q lost a part", parts)
		}
	})
}
