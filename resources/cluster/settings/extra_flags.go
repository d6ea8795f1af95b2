package settings

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/etcdflags"
)

// ExtraFlagsAttribute is the attribute for flags of etcd that have no attribute of their own.
func ExtraFlagsAttribute() schema.MapAttribute {
	return schema.MapAttribute{
		Optional:    true,
		ElementType: types.StringType,
		MarkdownDescription: "Flags of etcd that no attribute stands for, by their names without dashes, and the same on all members: `{ \"warning-apply-duration\" = \"200ms\" }`. " +
			"A flag that the provider sets itself is refused, with the attribute to use instead; so is one that etcd of this `version` does not have, and a value that it would not take. " +
			refusedFlags() +
			"`feature-gates` are added to those that the provider sets. Files that a flag names have to be on every host already. What a flag does is etcd's: it may change with a minor version." + ByRoll,
		Validators: []validator.Map{mapvalidator.KeysAre(stringvalidator.LengthAtLeast(1))},
	}
}

// refusedFlags lists the flags that extra_flags refuses, for the reference.
func refusedFlags() string {
	ours, own := etcdflags.Refused()
	return fmt.Sprintf("The provider sets `%s`; `settings` has `%s`. ", strings.Join(ours, "`, `"), strings.Join(own, "`, `"))
}

// Flags returns all flags of etcd that a configuration sets, by name without dashes. It leaves out what is not known.
func Flags(settings types.Object, extra types.Map) map[string]string {
	flags := own(settings)
	maps.Copy(flags, extraFlags(extra))
	return flags
}

// extraFlags returns the known extra flags.
func extraFlags(extra types.Map) map[string]string {
	flags := map[string]string{}
	for name, value := range extra.Elements() {
		if text, is := value.(types.String); is && !text.IsNull() && !text.IsUnknown() {
			flags[name] = text.ValueString()
		}
	}
	return flags
}

// ExtraFlagsFrom returns the extra flags among all flags of a member, or null if there are none.
func ExtraFlagsFrom(flags map[string]string) types.Map {
	extra := map[string]attr.Value{}
	for name, value := range etcdflags.Extra(flags) {
		extra[name] = types.StringValue(value)
	}
	if len(extra) == 0 {
		return types.MapNull(types.StringType)
	}
	return types.MapValueMust(types.StringType, extra)
}

// CheckExtraFlags refuses extra flags that a configuration must not set, or that etcd of this version or minor version
// does not accept. The version is empty if it is not known yet.
func CheckExtraFlags(extra types.Map, version string) (diags diag.Diagnostics) {
	refuse := func(name string, err error) {
		diags.AddAttributeError(path.Root("extra_flags").AtMapKey(name), "This flag cannot be set", err.Error()+".")
	}
	known := extraFlags(extra)
	for _, name := range slices.Sorted(maps.Keys(extra.Elements())) {
		value, isKnown := known[name]
		err := etcdflags.CheckName(name)
		if err == nil && isKnown {
			err = etcdflags.Check(name, value, version)
		}
		if err != nil {
			refuse(name, err)
		}
	}
	if name, err := etcdflags.CheckTogether(known); err != nil {
		refuse(name, err)
	}
	return diags
}
