package resources_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/echoprovider"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/terraformtest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// world is a provider with simulated hosts.
type world struct {
	*nodetest.World
	stores   []string                     // versions that the provider carries, the newest first
	versions map[string]map[string]string // their hashes, by version and architecture

	alone bool // its test changes the environment, so no other test may run beside it

	// notKnown makes the provider's settings known only at apply.
	notKnown bool

	// slow is the address of a host that is too slow for a brief connection.
	slow string

	// dies makes the provider's process end when an apply fails.
	dies bool

	// doors are the ports of sshd, by the address of the host, if they are not 22.
	doors map[string]int

	// older changes what the state holds of a resource, as an earlier release could have left it; nil: nothing.
	older func(kind string, attributes map[string]any)

	// forgets is a key of private state that is missing in the state of a cluster after a refresh, as after an import.
	forgets string

	// snapshots outlive a process here: Terraform refreshes and plans in one, and the tests' harness in two.
	snapshots providerdata.Snapshots

	// observed changes what a host answers when it is observed; nil: nothing.
	observed func(*api.Observation)

	progress struct {
		sync.Mutex
		lines    []string
		warnings []string
		applied  []string // warnings of applies
		errors   []string
		refusals []refusal // errors of plans
		private  [][]byte
		answers  map[string]answer // answers of the last refresh or apply, by kind of resource
		awaited  []string          // addresses of hosts that operations insisted on
		hurried  int               // lists of backups that were to be there by a time
	}
}

// awaited returns the addresses of hosts that operations insisted on since its last call.
func (w *world) awaited() []string {
	w.progress.Lock()
	defer w.progress.Unlock()
	awaited := w.progress.awaited
	w.progress.awaited = nil
	slices.Sort(awaited)
	return slices.Compact(awaited)
}

func newWorld(t *testing.T) *world {
	var addresses []string
	for i := 11; i <= 25; i++ {
		addresses = append(addresses, fmt.Sprintf("192.0.2.%d", i))
	}
	w := &world{World: nodetest.New(t, addresses...), stores: []string{nodetest.EtcdVersion}}
	w.versions = map[string]map[string]string{nodetest.EtcdVersion: w.Stores}
	w.Instant, w.Clock = true, time.Now().Truncate(time.Second)
	return w
}

// carry makes the provider carry stores of these versions, the newest first.
func (w *world) carry(versions ...string) {
	for _, version := range versions {
		if w.versions[version] == nil {
			w.versions[version] = w.AddStores(version)
		}
	}
	w.stores = versions
}

// changes returns the calls that changed a host since its last call, as "address operation".
func (w *world) changes() []string {
	var changes []string
	for _, call := range w.Changes() {
		changes = append(changes, fmt.Sprintf("%s %s", call.Address, call.Operation))
	}
	w.Forget()
	return changes
}

// untouched checks that no host was changed since.
func (w *world) untouched(*terraform.State) error {
	if changes := w.changes(); len(changes) > 0 {
		return fmt.Errorf("hosts were changed: %v", changes)
	}
	return nil
}

// way is a route to a host, over which answers can be changed.
type way struct {
	upgrade.Host
	world *world
}

func (h way) Call(ctx context.Context, store string, request api.Request, result any) error {
	if _, bounded := ctx.Deadline(); bounded && request.Operation == api.OpBackups {
		h.world.progress.Lock()
		h.world.progress.hurried++
		h.world.progress.Unlock()
	}
	err := h.Host.Call(ctx, store, request, result)
	if o, ok := result.(*api.Observation); ok && err == nil && h.world.observed != nil {
		h.world.observed(o)
	}
	return err
}

// shut is a route to a host that does not listen.
type shut struct{}

func (shut) Contact(context.Context, string, api.ObserveRequest) (api.Contact, error) {
	return api.Contact{}, errGone
}

func (shut) Install(context.Context, string, string, api.Target) error { return errGone }

func (shut) Call(context.Context, string, api.Request, any) error { return errGone }

func (shut) Upload(context.Context, string, api.Request, io.Reader, any) error { return errGone }

func (shut) Download(context.Context, string, api.Request, io.Writer, any) error { return errGone }

func (shut) Lock(context.Context, string, string, api.Holder) (context.Context, func(), error) {
	return nil, nil, errGone
}

// listening is the provider as Terraform calls it. It keeps warnings, which a test case has no way to see.
type listening struct {
	tfprotov6.ProviderServer
	world *world
}

func (l listening) UpgradeResourceState(ctx context.Context, req *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	if l.world.older != nil {
		var attributes map[string]any
		if err := json.Unmarshal(req.RawState.JSON, &attributes); err != nil {
			return nil, err
		}
		l.world.older(req.TypeName, attributes)
		edited, err := json.Marshal(attributes)
		if err != nil {
			return nil, err
		}
		req.RawState.JSON = edited
	}
	return l.ProviderServer.UpgradeResourceState(ctx, req)
}

func (l listening) ReadResource(ctx context.Context, req *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	resp, err := l.ProviderServer.ReadResource(ctx, req)
	if req.TypeName == "etcd_cluster" {
		if l.world.forgets != "" && err == nil && len(resp.Private) > 0 {
			var private map[string][]byte
			if err := json.Unmarshal(resp.Private, &private); err != nil {
				return nil, err
			}
			delete(private, l.world.forgets)
			if resp.Private, err = json.Marshal(private); err != nil {
				return nil, err
			}
		}
		l.world.keepPrivate(resp.Private)
	}
	if err == nil {
		l.world.answered(req.TypeName, answer{resp.NewState, resp.NewIdentity, resp.Private})
	}
	l.world.keep(resp.Diagnostics)
	return resp, err
}

func (l listening) PlanResourceChange(ctx context.Context, req *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	resp, err := l.ProviderServer.PlanResourceChange(ctx, req)
	l.world.keep(resp.Diagnostics)
	l.world.keepRefusals(resp.Diagnostics)
	return resp, err
}

// ApplyResourceChange of a provider that is killed before it answers leaves what Terraform had.
func (l listening) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	resp, err := l.ProviderServer.ApplyResourceChange(ctx, req)
	if req.TypeName == "etcd_cluster" && err == nil {
		l.world.keepPrivate(resp.Private)
	}
	if err == nil {
		l.world.answered(req.TypeName, answer{resp.NewState, resp.NewIdentity, resp.Private})
	}
	l.world.keepApplied(resp)
	if l.world.dies && err == nil && len(resp.Diagnostics) > 0 {
		resp.NewState, resp.Private = req.PriorState, req.PlannedPrivate
	}
	return resp, err
}

// keepPrivate keeps the private state of an answer.
func (w *world) keepPrivate(private []byte) {
	w.progress.Lock()
	defer w.progress.Unlock()
	if len(private) > 0 {
		w.progress.private = append(w.progress.private, private)
	}
}

// privately returns the private states of the cluster, the newest last.
func (w *world) privately() [][]byte {
	w.progress.Lock()
	defer w.progress.Unlock()
	return slices.Clone(w.progress.private)
}

// keep keeps warnings and errors of a refresh or a plan.
func (w *world) keep(diags []*tfprotov6.Diagnostic) {
	w.progress.Lock()
	defer w.progress.Unlock()
	w.progress.warnings = append(w.progress.warnings, textsOf(diags, tfprotov6.DiagnosticSeverityWarning)...)
	w.progress.errors = append(w.progress.errors, textsOf(diags, tfprotov6.DiagnosticSeverityError)...)
}

// drain returns what one of the lists of progress holds, and empties that list.
func (w *world) drain(list *[]string) string {
	w.progress.Lock()
	defer w.progress.Unlock()
	text := strings.Join(*list, "\n")
	*list = nil
	return text
}

// warned drains the warnings of refreshes and plans.
func (w *world) warned() string { return w.drain(&w.progress.warnings) }

// refused drains the errors of refreshes and plans.
func (w *world) refused() string { return w.drain(&w.progress.errors) }

// ways are the routes to all hosts.
type ways struct{ *world }

// Host records the address.
func (w ways) Host(target providerdata.SSHTarget) (upgrade.Host, error) {
	w.progress.Lock()
	w.progress.awaited = append(w.progress.awaited, target.Address)
	w.progress.Unlock()
	return w.to(target)
}

func (w ways) Briefly(target providerdata.SSHTarget) (upgrade.Host, error) {
	if w.slow != "" && target.Address == w.slow {
		return shut{}, nil
	}
	return w.to(target)
}

func (w ways) to(target providerdata.SSHTarget) (upgrade.Host, error) {
	if w.notKnown {
		return nil, fmt.Errorf("ssh.private_key: %w", providerdata.ErrNotKnown)
	}
	if door, moved := w.doors[target.Address]; moved && door != target.Port {
		return shut{}, nil
	}
	return way{w.World.Host(target.Address), w.world}, nil
}

// run runs steps with the real CLI. With -short it runs them in this process instead, if that supports all of them;
// tests that run alone look at what the CLI writes, and always use the CLI.
func (w *world) run(t *testing.T, steps ...tftest.TestStep) {
	t.Helper()
	start := terraformtest.Factory(func() (tfprotov6.ProviderServer, error) {
		server, err := providerserver.NewProtocol6WithError(w)()
		return listening{server, w}, err
	})
	if !w.alone && terraformtest.Supports("etcd", steps) == nil {
		start = terraformtest.Recorded(t, start) // what the CLI runs in any case has nothing to be compared with
		if testing.Short() {
			t.Parallel()
			terraformtest.Run(t, start, steps...)
			return
		}
	}
	if os.Getenv("TF_ACC_TERRAFORM_PATH") == "" {
		t.Skip("neither terraform nor tofu is in PATH: install one, or run `make tofu`")
	}
	run := tftest.ParallelTest
	if w.alone {
		run = tftest.Test
	}
	run(t, tftest.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){
			"etcd": start,
			"echo": echoprovider.NewProviderServer(), // shows what is ephemeral
		},
		Steps: steps,
	})
}

// TestMain finds the CLI for tests: the one that TF_ACC_TERRAFORM_PATH names, or the one in PATH.
func TestMain(m *testing.M) {
	os.Unsetenv("TF_CLI_CONFIG_FILE") // which could name a file that is not there
	os.Setenv("TF_ACC", "1")
	for _, name := range []string{"terraform", "tofu"} {
		if path, err := exec.LookPath(name); err == nil && os.Getenv("TF_ACC_TERRAFORM_PATH") == "" {
			os.Setenv("TF_ACC_TERRAFORM_PATH", path)
		}
	}
	if filepath.Base(os.Getenv("TF_ACC_TERRAFORM_PATH")) == "tofu" {
		os.Setenv("TF_ACC_PROVIDER_HOST", "registry.opentofu.org") // which it takes providers from
	}
	// The CLI, which runs many hundred times for a second each, would spend a third of its time on garbage collection.
	os.Setenv("GOGC", "800")
	debug.SetGCPercent(400)
	// Most of a change is waiting: a learner has to stay caught up for two seconds.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func (w *world) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "etcd"
}

func (w *world) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse) {}

func (w *world) Configure(_ context.Context, _ provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	s := &providerdata.Data{Hosts: ways{w}, Stores: w, Operator: "ops@ci-7", Random: rand.Reader, Now: w.Now, Snapshots: &w.snapshots,
		Progress: func(cluster, line string) {
			w.progress.Lock()
			defer w.progress.Unlock()
			w.progress.lines = append(w.progress.lines, cluster+" "+line)
		}}
	resp.ResourceData, resp.EphemeralResourceData, resp.DataSourceData = s, s, s
}

func (w *world) Resources(context.Context) []func() resource.Resource {
	return resources.Managed()
}

func (w *world) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return resources.Ephemeral()
}

func (w *world) Functions(context.Context) []func() function.Function {
	return resources.Functions()
}

func (w *world) DataSources(context.Context) []func() datasource.DataSource {
	return resources.Data()
}

// Newest implements Stores.
func (w *world) Newest(desired string) (string, error) {
	for _, version := range w.stores {
		if desired == "" || version == desired || strings.HasPrefix(version, desired+".") {
			return version, nil
		}
	}
	return "", errors.New("this build carries no store of etcd " + desired)
}

// Versions implements Stores.
func (w *world) Versions() []string { return w.stores }

// Hashes implements Stores.
func (w *world) Hashes(version string) map[string]string {
	if !slices.Contains(w.stores, version) {
		return nil
	}
	return w.versions[version]
}

// three is a configuration of three members with this body.
func three(more string) string {
	return of("a b c", more)
}

// of is a configuration of some members with this body: "a" is on the host that it is formed on, 192.0.2.11, and "a@21"
// on 192.0.2.21.
func of(members, more string) string {
	var lines []string
	for _, member := range strings.Fields(members) {
		name, last, moved := strings.Cut(member, "@")
		if !moved {
			last = fmt.Sprint(11 + name[0] - 'a')
		}
		lines = append(lines, fmt.Sprintf("%s = { address = %q }", name, "192.0.2."+last))
	}
	return fmt.Sprintf(`
		resource "etcd_pki" "prod" { name = "prod" }
		resource "etcd_cluster" "prod" {
			name    = "prod"
			pki     = etcd_pki.prod.authority
			members = {
				%s
			}
			%s
		}`, strings.Join(lines, "\n\t\t\t\t"), more)
}
