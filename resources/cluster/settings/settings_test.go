package settings

import (
	"maps"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// given makes a settings object with these attributes.
func given(t *testing.T, set map[string]attr.Value) types.Object {
	t.Helper()
	all := map[string]attr.Value{}
	for name, kind := range objectType().AttrTypes {
		if kind == types.StringType {
			all[name] = types.StringNull()
		} else {
			all[name] = types.Int64Null()
		}
	}
	maps.Copy(all, set)
	return types.ObjectValueMust(objectType().AttrTypes, all)
}

func TestSettingsAreFlags(t *testing.T) {
	given := given(t, map[string]attr.Value{
		"quota_backend_bytes":       types.Int64Value(8 << 30),
		"heartbeat_interval":        types.StringValue("200ms"),
		"auto_compaction_retention": types.StringValue("5m"),
		"log_level":                 types.StringUnknown(),
	})
	flags := own(given)
	want := map[string]string{"quota-backend-bytes": "8589934592", "heartbeat-interval": "200", "auto-compaction-retention": "5m"}
	if !maps.Equal(flags, want) {
		t.Errorf("flags are %v, want %v", flags, want)
	}
	flags["name"] = "a" // From ignores flags that are no settings
	back, err := From(flags)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(own(given), own(back)) { // "0.2s" is "200ms"
		t.Errorf("read back as %s", back)
	}
	if none, err := From(map[string]string{"name": "a"}); err != nil || !none.IsNull() {
		t.Errorf("no settings read back as %s, %v", none, err)
	}
	if _, err := From(map[string]string{"snapshot-count": "many"}); err == nil {
		t.Error("a count that is no number was taken")
	}
}

func TestCheckSettings(t *testing.T) {
	text := func(pairs ...string) types.Object {
		set := map[string]attr.Value{}
		for i := 0; i < len(pairs); i += 2 {
			set[pairs[i]] = types.StringValue(pairs[i+1])
		}
		return given(t, set)
	}
	for _, good := range []types.Object{
		types.ObjectNull(objectType().AttrTypes),
		types.ObjectUnknown(objectType().AttrTypes),
		text("auto_compaction_retention", "5m"),
		text("auto_compaction_mode", "revision", "auto_compaction_retention", "1000"),
		text("heartbeat_interval", "200ms"),
		text("heartbeat_interval", "1s", "election_timeout", "5s"),
		text("election_timeout", "50s"),
		given(t, map[string]attr.Value{"heartbeat_interval": types.StringValue("1s"), "election_timeout": types.StringUnknown()}),
		given(t, map[string]attr.Value{"auto_compaction_mode": types.StringUnknown(), "auto_compaction_retention": types.StringValue("1000")}),
	} {
		if attribute, err := Check(good); err != nil {
			t.Errorf("%s: %s: %v", good, attribute, err)
		}
	}
	for _, bad := range []types.Object{
		text("auto_compaction_retention", "1000"),
		text("auto_compaction_mode", "periodic", "auto_compaction_retention", "0"),
		text("auto_compaction_mode", "revision", "auto_compaction_retention", "5m"),
		text("auto_compaction_mode", "revision", "auto_compaction_retention", "0"),
		text("heartbeat_interval", "201ms"),
		text("election_timeout", "499ms"),
		text("election_timeout", "51s"),
	} {
		if _, err := Check(bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
