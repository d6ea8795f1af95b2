package certificates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/rotation"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

// rotationRecorded is the key of private state that records how far the rotations have come.
const rotationRecorded = "rotation"

// rotationModel holds the attribute rotation.
type rotationModel struct {
	Peers   types.String `tfsdk:"peers"`
	Clients types.String `tfsdk:"clients"`
	Phase   types.String `tfsdk:"phase"`
}

// rotationType returns the type of a rotationModel.
func rotationType() map[string]attr.Type {
	return map[string]attr.Type{"peers": types.StringType, "clients": types.StringType, "phase": types.StringType}
}

// recorded returns how far the rotations have come. Without a record, there has been none.
func recorded(ctx context.Context, private private.State) (known rotation.Recorded, diags diag.Diagnostics) {
	encoded, diags := private.GetKey(ctx, rotationRecorded)
	if len(encoded) > 0 {
		if err := json.Unmarshal(encoded, &known); err != nil {
			diags.AddError("The private state cannot be read", err.Error())
		}
	}
	return known, diags
}

// record records how far the rotations have come.
func record(ctx context.Context, private private.State, known rotation.Recorded) diag.Diagnostics {
	encoded, err := json.Marshal(known)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("The progress of the rotation cannot be kept", err.Error())}
	}
	return private.SetKey(ctx, rotationRecorded, encoded)
}

// desired returns the configured rotation, and whether all of it is known.
func (p pkiModel) desired(ctx context.Context) (desired rotation.Desired, known bool, diags diag.Diagnostics) {
	if !value.Known(ctx, p.Rotation) {
		return rotation.Desired{}, false, nil
	}
	asked := rotationModel{Phase: types.StringValue(string(rotation.Trust))}
	if !p.Rotation.IsNull() {
		diags = p.Rotation.As(ctx, &asked, basetypes.ObjectAsOptions{})
	}
	return rotation.Desired{Peers: asked.Peers.ValueString(), Clients: asked.Clients.ValueString(), Phase: rotation.Phase(asked.Phase.ValueString())}, true, diags
}

// decide returns how the configured rotation moves the authorities, and what is to be recorded then.
func (p pkiModel) decide(ctx context.Context, private private.State) (rotation.Moves, rotation.Recorded, diag.Diagnostics) {
	now, diags := recorded(ctx, private)
	desired, _, d := p.desired(ctx)
	diags.Append(d...)
	if diags.HasError() {
		return rotation.Moves{}, rotation.Recorded{}, diags
	}
	moves, next, err := now.Next(desired)
	if refusal := (*rotation.Refusal)(nil); errors.As(err, &refusal) {
		diags.AddAttributeError(path.Root("rotation"), refusal.Summary, refusal.Error())
	}
	return moves, next, diags
}

// planRotation fills in the authorities as the rotation leaves them. Only authorities that are yet to be made are
// unknown. If the rotation itself is unknown, the apply may begin one, and do nothing else.
func (p *pkiModel) planRotation(ctx context.Context, state pkiModel, private private.State) (moves rotation.Moves, diags diag.Diagnostics) {
	_, known, d := p.desired(ctx)
	if known {
		moves, _, diags = p.decide(ctx, private)
	} else {
		moves, diags = mayBegin(ctx, private)
	}
	diags.Append(d...)
	diags.Append(p.rotate(ctx, state, moves, func(string, string) (authority.KeyPair, error) {
		return authority.KeyPair{Certificate: types.StringUnknown(), PrivateKey: sensitive.Unknown()}, nil
	})...)
	if !known && !moves.None() {
		p.Authority, p.ClientAuthority = trustedUnknown(p.Authority), trustedUnknown(p.ClientAuthority)
	}
	return moves, diags
}

// rotationsOf returns what moves make of a state's authorities. The clusters that take the authorities refuse a move
// that their members are not ready for. A move that begins a rotation takes nothing away and is left out.
func (p pkiModel) rotationsOf(state pkiModel, moves rotation.Moves, now rotation.Recorded) (planned []providerdata.Rotation) {
	for _, one := range []struct {
		label         string
		move          rotation.Move
		progress      rotation.Progress
		before, after types.String
	}{
		{"peers", moves.Peers, now.Peers, state.PeerCACertificate, p.PeerCACertificate},
		{"clients", moves.Clients, now.Clients, state.ClientCACertificate, p.ClientCACertificate},
	} {
		before, after := namesIn(one.before), namesIn(one.after)
		if one.move == rotation.Keep || one.move == rotation.Begin || len(after) == 0 {
			continue
		}
		noted := providerdata.Rotation{Of: p.Name.ValueString(), Peers: one.label == "peers", Signs: after[0], Was: fmt.Sprintf("phase = %q", one.progress.Phase)}
		if one.move == rotation.Cancel {
			noted.Was = fmt.Sprintf("%s = %q with phase = %q", one.label, one.progress.UnderWay, one.progress.Phase)
		}
		if goes := slices.DeleteFunc(before, func(name string) bool { return slices.Contains(after, name) }); len(goes) > 0 {
			noted.Goes = goes[0]
		}
		planned = append(planned, noted)
	}
	return planned
}

// namesIn returns the names of a bundle's authorities, in the bundle's order.
func namesIn(bundle types.String) (names []string) {
	certificates, err := cert.Parse([]byte(bundle.ValueString()))
	if err != nil {
		return nil
	}
	for _, certificate := range certificates {
		names = append(names, cert.Name(certificate))
	}
	return names
}

// rotates tells whether an authority is trusted beside those that sign.
func (p pkiModel) rotates() bool {
	trusted, is := p.Authority.Attributes()["trusted"]
	return is && !trusted.IsNull()
}

// trustedUnknown returns the authorities with `trusted` unknown: the apply may add some, or none.
func trustedUnknown(held types.Object) types.Object {
	attributes := held.Attributes()
	attributes["trusted"] = types.ObjectUnknown(attributes["trusted"].(types.Object).AttributeTypes(context.Background()))
	return types.ObjectValueMust(held.AttributeTypes(context.Background()), attributes)
}

// mayBegin returns the moves of a rotation whose labels or phase are known only after apply: it may begin. A rotation
// under way has to be known, since whoever approves the plan has to see whose certificates members will refuse.
func mayBegin(ctx context.Context, private private.State) (rotation.Moves, diag.Diagnostics) {
	now, diags := recorded(ctx, private)
	switch {
	case now.Imported: // it is noted, or refused
		return rotation.Moves{}, diags
	case now.Peers.UnderWay+now.Clients.UnderWay != "":
		diags.AddAttributeError(path.Root("rotation"), "A rotation that is under way has to be known at plan time",
			"What rotation says is known after apply, and might take an authority away that members and clients use. Set peers, clients and phase to what is known. Nothing was changed.")
		return rotation.Moves{}, diags
	}
	return rotation.Moves{Peers: rotation.Begin, Clients: rotation.Begin}, diags
}

// rotate writes the state's authorities into the model as the moves leave them. successor makes the authority that
// follows one with the common name before; name is the common name of the cluster's first authority.
func (p *pkiModel) rotate(ctx context.Context, state pkiModel, moves rotation.Moves, successor func(name, before string) (authority.KeyPair, error)) diag.Diagnostics {
	p.Authority, p.ClientAuthority, p.ExpiresAt = state.Authority, state.ClientAuthority, state.ExpiresAt
	p.PeerCACertificate, p.ClientCACertificate = state.PeerCACertificate, state.ClientCACertificate
	p.PeerFingerprints, p.ClientFingerprints = state.PeerFingerprints, state.ClientFingerprints
	p.PeersExpireAt, p.ClientsExpireAt = state.PeersExpireAt, state.ClientsExpireAt
	if moves.None() && p.Chain.IsNull() {
		return nil
	}
	held, diags := authority.From(ctx, state.Authority)
	if diags.HasError() {
		return diags
	}
	var beside authority.Trusted
	if held.Trusted != nil {
		beside = *held.Trusted
	}
	name := state.Name.ValueString()
	errPeers := move(moves.Peers, &held.Peer, &beside.Peer, func(before string) (authority.KeyPair, error) { return successor(pki.PeersName(name), before) })
	errClients := move(moves.Clients, &held.Client, &beside.Client, func(before string) (authority.KeyPair, error) { return successor(pki.ClientsName(name), before) })
	if err := errors.Join(errPeers, errClients); err != nil {
		diags.AddAttributeError(path.Root("rotation"), fmt.Sprintf("The authorities of %s were not rotated", name), err.Error()+"\n\nNothing was changed.")
		return diags
	}
	held.Trusted = &beside
	if beside == (authority.Trusted{}) {
		held.Trusted = nil
	}
	if diags.Append(p.rechain(&held)...); diags.HasError() {
		return diags
	}
	return append(diags, p.hold(ctx, held)...)
}

// chainType returns the type of the attribute chain.
func chainType() map[string]attr.Type {
	return map[string]attr.Type{"peers": types.StringType, "clients": types.StringType}
}

// checkChain refuses a chain that is not known yet, since whoever approves a plan has to see what members and clients
// get, and one above authorities that are yet to be made, which are roots.
func (p pkiModel) checkChain(ctx context.Context, create bool) (diags diag.Diagnostics) {
	switch {
	case !value.Known(ctx, p.Chain):
		diags.AddAttributeError(path.Root("chain"), "The chain has to be known at plan time", "What chain says is known after apply. Apply what it comes from first (terraform apply -target=...), and plan again. Nothing was changed.")
	case create && !p.Chain.IsNull():
		diags.AddAttributeError(path.Root("chain"), "The authorities have no chain", "This apply makes both authorities, and nothing stands above those that etcd_pki makes. Take chain out, or import the intermediates that you have (terraform import). Nothing was changed.")
	}
	return diags
}

// rechain puts the configured chains above the authorities that they belong to.
func (p pkiModel) rechain(held *authority.Model) (diags diag.Diagnostics) {
	for _, one := range []struct{ name, key string }{{"peers", api.KeyPeer}, {"clients", api.KeyServer}} {
		chain, is := p.Chain.Attributes()[one.name].(types.String)
		if !is || chain.IsNull() {
			continue
		}
		next, err := held.Rechain(one.key, chain.ValueString())
		if err != nil {
			diags.AddAttributeError(path.Root("chain").AtName(one.name), "This chain cannot be used", err.Error()+". Nothing was changed.")
			continue
		}
		*held = next
	}
	return diags
}

// move applies a move to one kind of authority: signs is the one that signs, and beside the one that is trusted beside
// it (nil: none).
func move(move rotation.Move, signs *authority.KeyPair, beside **authority.KeyPair, successor func(before string) (authority.KeyPair, error)) error {
	switch {
	case move == rotation.Keep:
		return nil
	case (*beside == nil) != (move == rotation.Begin):
		return errors.New("the state does not hold the authorities that it says it does: restore the copy that Terraform or its backend has kept of it")
	case move == rotation.Switch:
		before := *signs
		*signs, *beside = **beside, &before
	case move == rotation.Begin:
		info, err := cert.Inspect([]byte(signs.Certificate.ValueString()))
		if err != nil {
			return err
		}
		made, err := successor(info.CommonName)
		*beside = &made
		return err
	default:
		*beside = nil
	}
	return nil
}
