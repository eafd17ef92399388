package provider

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

// choice is one value of an attribute that takes a fixed set, with what it means.
type choice struct{ value, meaning string }

// choices is such a set: the validator and the description are both made from it, so they cannot differ.
type choices []choice

func (c choices) validator() validator.String {
	values := make([]string, len(c))
	for i, v := range c {
		values[i] = v.value
	}
	return stringvalidator.OneOf(values...)
}

// markdown reads "One of `a` (…), `b` (…)."
func (c choices) markdown() string {
	parts := make([]string, len(c))
	for i, v := range c {
		parts[i] = "`" + v.value + "`"
		if v.meaning != "" {
			parts[i] += " (" + v.meaning + ")"
		}
	}
	return "One of " + strings.Join(parts, ", ") + "."
}
