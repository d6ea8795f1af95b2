// Package functions is the arithmetic of clusters, as functions of Terraform.
package functions

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/function"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// arithmetic is a function of the number of voters.
type arithmetic struct {
	name, summary, description string
	of                         func(voters int) int
}

// NewQuorum is the function quorum.
func NewQuorum() function.Function {
	return arithmetic{"quorum", "How many of n voters must agree",
		"More than half of `n` voters: how many must agree before a write is acknowledged.", membership.Quorum}
}

// NewFaultTolerance is the function fault_tolerance.
func NewFaultTolerance() function.Function {
	return arithmetic{"fault_tolerance", "How many of n voters can fail",
		"How many of `n` voters can fail while the others still serve reads and writes.", membership.FaultTolerance}
}

// Metadata names it.
func (a arithmetic) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = a.name
}

// Definition says what it takes and gives.
func (a arithmetic) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary:             a.summary,
		MarkdownDescription: a.description,
		Parameters: []function.Parameter{
			function.Int64Parameter{Name: "n", MarkdownDescription: "Number of voters: at least 1."},
		},
		Return: function.Int64Return{},
	}
}

// Run does the sum.
func (a arithmetic) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var voters int64
	if resp.Error = req.Arguments.Get(ctx, &voters); resp.Error != nil {
		return
	}
	if voters < 1 {
		resp.Error = function.NewArgumentFuncError(0, fmt.Sprintf("%d voters are no cluster: n must be at least 1", voters))
		return
	}
	resp.Error = resp.Result.Set(ctx, int64(a.of(int(voters))))
}
