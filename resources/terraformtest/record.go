package terraformtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// RecordVariable names the directory into which each test's calls are written. Two of those, of the same tests run by
// Terraform and in this process, have to be equal.
const RecordVariable = "TERRAFORM_CALLS"

// recorded is a provider whose calls are recorded: the shape of what was sent, without what differs between runs.
type recorded struct {
	tfprotov6.ProviderServer
	*record
}

type record struct {
	sync.Mutex
	calls   []string
	schemas *tfprotov6.GetProviderSchemaResponse
}

// Recorded returns a factory whose providers' calls are written, once the test has ended, if RecordVariable is set.
// Their order does not count, since Terraform makes many calls concurrently.
func Recorded(t *testing.T, start Factory) Factory {
	dir := os.Getenv(RecordVariable)
	if dir == "" {
		return start
	}
	r := &record{}
	t.Cleanup(func() {
		slices.Sort(r.calls)
		name := strings.NewReplacer("/", ":", " ", "_").Replace(t.Name())
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(r.calls, "\n")+"\n"), 0o600); err != nil {
			t.Error(err)
		}
	})
	return func() (tfprotov6.ProviderServer, error) {
		server, err := start()
		return recorded{server, r}, err
	}
}

// write records a call, given as pairs of a name and a value, which may be nil.
func (r recorded) write(call, kind string, schemas func(*tfprotov6.GetProviderSchemaResponse) map[string]*tfprotov6.Schema, diags []*tfprotov6.Diagnostic, values ...any) {
	r.Lock()
	defer r.Unlock()
	if r.schemas == nil {
		var err error
		if r.schemas, err = r.GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{}); err != nil {
			panic(err)
		}
	}
	text := call + " " + kind
	for i := 0; i < len(values); i += 2 {
		shape := "null"
		if value := values[i+1].(*tfprotov6.DynamicValue); value != nil {
			decoded, err := value.Unmarshal(schemas(r.schemas)[kind].ValueType())
			if err != nil {
				panic(err)
			}
			shape = shapeOf(decoded)
		}
		text += fmt.Sprintf(" %s=%s", values[i], shape)
	}
	var said []string
	for _, d := range diags {
		said = append(said, fmt.Sprintf("%s %q", d.Severity, d.Summary))
	}
	slices.Sort(said)
	r.calls = append(r.calls, text+" -> "+strings.Join(said, ", "))
}

func managed(s *tfprotov6.GetProviderSchemaResponse) map[string]*tfprotov6.Schema {
	return s.ResourceSchemas
}

func dataSources(s *tfprotov6.GetProviderSchemaResponse) map[string]*tfprotov6.Schema {
	return s.DataSourceSchemas
}

// word matches a text that is no key, ID or time, which differ between two runs.
var word = regexp.MustCompile(`^[a-z_]{1,12}$`)

// identifier matches an ID in the name of an element.
var identifier = regexp.MustCompile(`[0-9a-f]{8,}`)

// shapeOf returns a value without what differs between two runs.
func shapeOf(value tftypes.Value) string {
	switch {
	case !value.IsKnown():
		return "?"
	case value.IsNull():
		return "-"
	}
	var fields map[string]tftypes.Value
	if value.As(&fields) == nil {
		var all []string
		for name, field := range fields {
			all = append(all, identifier.ReplaceAllString(name, "ID")+":"+shapeOf(field))
		}
		slices.Sort(all)
		return "{" + strings.Join(all, " ") + "}"
	}
	var list []tftypes.Value
	if value.As(&list) == nil {
		var all []string
		for _, element := range list {
			all = append(all, shapeOf(element))
		}
		return "[" + strings.Join(all, " ") + "]"
	}
	var text string
	if value.As(&text) == nil {
		if word.MatchString(text) {
			return text
		}
		return `""`
	}
	var is bool
	if value.As(&is) == nil {
		return fmt.Sprint(is)
	}
	return "0"
}

func (r recorded) ValidateResourceConfig(ctx context.Context, req *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	resp, err := r.ProviderServer.ValidateResourceConfig(ctx, req)
	r.write("validate", req.TypeName, managed, resp.Diagnostics, "config", req.Config)
	return resp, err
}

func (r recorded) ReadResource(ctx context.Context, req *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	resp, err := r.ProviderServer.ReadResource(ctx, req)
	r.write("read", req.TypeName, managed, resp.Diagnostics, "state", req.CurrentState, "new", resp.NewState)
	return resp, err
}

func (r recorded) PlanResourceChange(ctx context.Context, req *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	resp, err := r.ProviderServer.PlanResourceChange(ctx, req)
	r.write("plan", req.TypeName, managed, resp.Diagnostics, "prior", req.PriorState, "proposed", req.ProposedNewState, "config", req.Config, "planned", resp.PlannedState)
	return resp, err
}

func (r recorded) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	resp, err := r.ProviderServer.ApplyResourceChange(ctx, req)
	r.write("apply", req.TypeName, managed, resp.Diagnostics, "prior", req.PriorState, "planned", req.PlannedState, "config", req.Config, "new", resp.NewState)
	return resp, err
}

func (r recorded) ImportResourceState(ctx context.Context, req *tfprotov6.ImportResourceStateRequest) (*tfprotov6.ImportResourceStateResponse, error) {
	resp, err := r.ProviderServer.ImportResourceState(ctx, req)
	r.write("import", req.TypeName, managed, resp.Diagnostics)
	return resp, err
}

func (r recorded) ReadDataSource(ctx context.Context, req *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	resp, err := r.ProviderServer.ReadDataSource(ctx, req)
	r.write("read data", req.TypeName, dataSources, resp.Diagnostics, "config", req.Config, "new", resp.State)
	return resp, err
}
