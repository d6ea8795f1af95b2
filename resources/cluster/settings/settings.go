// Package settings is the part of a configuration that says how etcd runs, and the flags of etcd that follow from it.
package settings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

// These are etcd's defaults and its limits (embed/config.go of etcd 3.7).
const (
	etcdHeartbeat    = 100 * time.Millisecond
	etcdElection     = time.Second
	etcdElectionMax  = 50 * time.Second
	heartbeatsNeeded = 5 // an election timeout is at least this many heartbeats

	modePeriodic = "periodic"
	modeRevision = "revision"
)

// ByRoll is the text that says how a change of every member's flags is made.
const ByRoll = " A change is rolled: members are restarted one by one, the leader last, each once the others are healthy; a cluster of one serves nobody meanwhile."

// inMilliseconds are the settings that are durations here, and numbers of milliseconds in etcd's flags.
var inMilliseconds = []string{"heartbeat_interval", "election_timeout"}

// Attribute is the attribute with etcd's own settings. Each attribute in it is the flag of etcd of the same name, with
// hyphens for the underscores.
func Attribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "etcd's own settings, each named as etcd's flag for it, and the same on all members. " +
			"What is not set has etcd's default." + ByRoll,
		Attributes: map[string]schema.Attribute{
			"quota_backend_bytes": schema.Int64Attribute{
				Optional: true,
				MarkdownDescription: "Size in bytes at which the database takes no more writes until it is compacted and defragmented: at least 67108864 (64 MiB). " +
					"etcd recommends 8589934592 (8 GiB) at most. etcd's default: 2147483648 (2 GiB).",
				Validators: []validator.Int64{int64validator.AtLeast(64 << 20)},
			},
			"auto_compaction_mode": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "What `auto_compaction_retention` counts: `periodic` (time) or `revision` (revisions). etcd's default: `periodic`.",
				Validators:          []validator.String{stringvalidator.OneOf(modePeriodic, modeRevision)},
			},
			"auto_compaction_retention": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "How much history etcd keeps when it compacts by itself: a duration like `5m` or `1h` where the mode is `periodic`, " +
					"a number of revisions like `1000` where it is `revision`. Default: it does not compact by itself.",
			},
			"snapshot_count": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "Number of committed transactions after which a member writes a Raft snapshot: at least 1. etcd's default: 10000.",
				Validators:          []validator.Int64{int64validator.AtLeast(1)},
			},
			"heartbeat_interval": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Time between two heartbeats of the leader, as a duration of whole milliseconds: about the round trip between the members " +
					"that are farthest apart. etcd's default: `100ms`.",
				Validators: []validator.String{validate.Millisecond},
			},
			"election_timeout": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Time without a heartbeat after which a follower stands for election, as a duration of whole milliseconds: " +
					"at least 5 times `heartbeat_interval` and at most `50s`. etcd's default: `1s`.",
				Validators: []validator.String{validate.Millisecond},
			},
			"max_request_bytes": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "Largest request of a client, in bytes: 1024 to 10485760 (10 MiB, beyond which etcd warns). etcd's default: 1572864 (1.5 MiB).",
				Validators:          []validator.Int64{int64validator.Between(1<<10, 10<<20)},
			},
			"max_txn_ops": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "Most operations in one transaction: 1 to 10000. etcd's default: 128.",
				Validators:          []validator.Int64{int64validator.Between(1, 10_000)},
			},
			"max_concurrent_streams": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "Most streams that one client connection may have open at the same time: 1 to 4294967295. etcd's default: 4294967295.",
				Validators:          []validator.Int64{int64validator.Between(1, 1<<32-1)},
			},
			"log_level": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Least severe message that goes to the journal: `debug`, `info`, `warn`, `error`, `panic` or `fatal`. etcd's default: `info`.",
				Validators:          []validator.String{stringvalidator.OneOf("debug", "info", "warn", "error", "panic", "fatal")},
			},
		},
	}
}

// objectType is the type of the settings' object.
func objectType() types.ObjectType { return Attribute().GetType().(types.ObjectType) }

// own returns the settings as etcd's flags, by name without dashes. It leaves out what is not known.
func own(settings types.Object) map[string]string {
	flags := map[string]string{}
	for name, value := range settings.Attributes() {
		if value.IsNull() || value.IsUnknown() {
			continue
		}
		text := ""
		switch v := value.(type) {
		case types.Int64:
			text = strconv.FormatInt(v.ValueInt64(), 10)
		case types.String:
			text = v.ValueString()
		}
		if slices.Contains(inMilliseconds, name) {
			d, _ := time.ParseDuration(text) // the attribute's validator has parsed it
			text = strconv.FormatInt(d.Milliseconds(), 10)
		}
		flags[strings.ReplaceAll(name, "_", "-")] = text
	}
	return flags
}

// From returns the settings among a member's flags, or null if there are none.
func From(flags map[string]string) (types.Object, error) {
	attributes := map[string]attr.Value{}
	found := false
	for name, kind := range objectType().AttrTypes {
		text, set := flags[strings.ReplaceAll(name, "_", "-")]
		found = found || set
		switch {
		case kind == types.StringType && !set:
			attributes[name] = types.StringNull()
		case kind == types.StringType && slices.Contains(inMilliseconds, name):
			attributes[name] = types.StringValue(text + "ms")
		case kind == types.StringType:
			attributes[name] = types.StringValue(text)
		case !set:
			attributes[name] = types.Int64Null()
		default:
			number, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return types.Object{}, fmt.Errorf("flag --%s is %q, which is no number", strings.ReplaceAll(name, "_", "-"), text)
			}
			attributes[name] = types.Int64Value(number)
		}
	}
	if !found {
		return types.ObjectNull(objectType().AttrTypes), nil
	}
	return types.ObjectValueMust(objectType().AttrTypes, attributes), nil
}

// Check returns the attribute to change, and why, if etcd would refuse these settings together. It ignores settings
// that are not known.
func Check(settings types.Object) (attribute string, err error) {
	text := func(name string) (string, bool) {
		value, _ := settings.Attributes()[name].(types.String)
		return value.ValueString(), !value.IsUnknown()
	}
	mode, modeKnown := text("auto_compaction_mode")
	retention, _ := text("auto_compaction_retention")
	if modeKnown && retention != "" {
		if err := checkRetention(mode, retention); err != nil {
			return "auto_compaction_retention", err
		}
	}
	heartbeat, heartbeatKnown := text("heartbeat_interval")
	election, electionKnown := text("election_timeout")
	if heartbeatKnown && electionKnown {
		return "election_timeout", checkElection(orDefault(heartbeat, etcdHeartbeat), orDefault(election, etcdElection))
	}
	return "", nil
}

func checkRetention(mode, retention string) error {
	if mode == modeRevision {
		if n, err := strconv.Atoi(retention); err != nil || n < 1 {
			return fmt.Errorf("%q is no number of revisions, which auto_compaction_mode %q wants: set one like \"1000\"", retention, modeRevision)
		}
		return nil
	}
	if err := validate.CheckDuration(retention); err != nil {
		return fmt.Errorf("%q is no duration, which auto_compaction_mode %q wants: set one like \"5m\" or \"1h\"", retention, modePeriodic)
	}
	return nil
}

func checkElection(heartbeat, election time.Duration) error {
	switch {
	case election < heartbeatsNeeded*heartbeat:
		return fmt.Errorf("election_timeout is %s and heartbeat_interval %s: etcd wants %d heartbeats at least, which is %s", election, heartbeat, heartbeatsNeeded, heartbeatsNeeded*heartbeat)
	case election > etcdElectionMax:
		return fmt.Errorf("election_timeout is %s: etcd takes %s at most", election, etcdElectionMax)
	}
	return nil
}

func orDefault(text string, fallback time.Duration) time.Duration {
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	return fallback
}
