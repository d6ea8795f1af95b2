package certificates

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/rotation"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

var (
	_ resource.ResourceWithImportState = (*pkiResource)(nil)
	_ resource.ResourceWithIdentity    = (*pkiResource)(nil)
)

// pkiIdentityModel is the identity of authorities, by which Terraform imports them from 1.12 on.
type pkiIdentityModel struct {
	Name      types.String `tfsdk:"name"`
	Directory types.String `tfsdk:"directory"`
}

// IdentitySchema describes the identity.
func (r *pkiResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"name": identityschema.StringAttribute{RequiredForImport: true, Description: "Name of the authorities, usually the cluster's."},
		"directory": identityschema.StringAttribute{
			OptionalForImport: true,
			Description:       "Directory with the PEM files of the authorities, which every import needs. Null for authorities that were not imported.",
		},
	}}
}

// identify writes the identity of the authorities, and leaves the directory that they were imported from as it is.
func (p pkiModel) identify(ctx context.Context, identity *tfsdk.ResourceIdentity) (diags diag.Diagnostics) {
	if identity == nil {
		return nil
	}
	var is pkiIdentityModel
	if !identity.Raw.IsNull() {
		diags = identity.Get(ctx, &is)
	}
	is.Name = p.Name
	return append(diags, identity.Set(ctx, is)...)
}

// Files that authorities are imported from. Hosts have the certificates under the same names.
const (
	peerCAFile   = "peer-ca"
	clientCAFile = "client-ca"
	// trustedFile ends the names of authorities that are trusted beside those that sign, in the middle of a rotation.
	trustedFile = "-trusted"
)

// ImportState imports existing authorities, by NAME@DIRECTORY or by their identity. The directory holds their PEM
// files.
func (r *pkiResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	id := req.ID
	if id == "" && req.Identity != nil {
		var identity pkiIdentityModel
		resp.Diagnostics.Append(req.Identity.Get(ctx, &identity)...)
		id = identity.Name.ValueString() + "@" + identity.Directory.ValueString()
	}
	name, directory, found := strings.Cut(id, "@")
	if !found || directory == "" || !validate.ClusterNamePattern.MatchString(name) {
		resp.Diagnostics.AddError("The import ID of the authorities is not valid", fmt.Sprintf("%q does not say which: it has to be NAME@DIRECTORY, like \"prod@./authorities\", "+
			"or an identity with both, with the name of the cluster as `name` has it. The directory holds %s.", id, importedFiles()))
		return
	}
	refuse := func(err error) {
		resp.Diagnostics.AddError(fmt.Sprintf("The authorities of %s were not imported", name), err.Error()+"\n\nNothing was changed.")
	}
	authorities, trusted, err := readAuthorities(name, directory, r.providerData.Now())
	if err != nil {
		refuse(err)
		return
	}
	peers, peersPhase := newest(authorities.Peers, trusted.Peers)
	clients, clientsPhase := newest(authorities.Clients, trusted.Clients)
	if peersPhase != clientsPhase && peersPhase != "" && clientsPhase != "" {
		refuse(fmt.Errorf("the new authority for peers is there for phase %q of a rotation, and that for clients for %q, and both are rotated together: "+
			"the authority that signs has to be in the files without %s", peersPhase, clientsPhase, trustedFile))
		return
	}
	state := pkiModel{Name: types.StringValue(name), Revoked: types.SetNull(types.StringType)}
	if err := state.describe(string(peers.CertificatePEM()), string(clients.CertificatePEM())); err != nil {
		refuse(err)
		return
	}
	state.Rotation, state.Chain = types.ObjectNull(rotationType()), types.ObjectNull(chainType())
	resp.Diagnostics.Append(state.holdNew(ctx, authorities, trusted)...)
	resp.Diagnostics.Append(record(ctx, resp.Private, rotation.Found(peersPhase, clientsPhase))...)
	if resp.Identity != nil {
		resp.Diagnostics.Append(resp.Identity.Set(ctx, pkiIdentityModel{state.Name, types.StringValue(directory)})...)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// newest returns the newer of two authorities, which a rotation has made, and the phase of that rotation. trusted is
// nil if there is no rotation.
func newest(signs, trusted *pki.Authority) (*pki.Authority, rotation.Phase) {
	if trusted == nil {
		return signs, ""
	}
	one, errOne := cert.Inspect(signs.CertificatePEM())
	other, errOther := cert.Inspect(trusted.CertificatePEM())
	follows := errors.Join(errOne, errOther) == nil && other.NotBefore.After(one.NotBefore)
	if from, to := pki.Number(one.CommonName), pki.Number(other.CommonName); from != to && pki.IsMadeHere(one.CommonName) && pki.IsMadeHere(other.CommonName) {
		follows = to > from
	}
	if follows {
		return trusted, rotation.Trust
	}
	return signs, rotation.Sign
}

// importedFiles lists the expected files in errors.
func importedFiles() string {
	return fmt.Sprintf("%[1]s.crt and %[1]s.key, the authority of the peers, and %[2]s.crt and %[2]s.key, that of the clients, each PEM; "+
		"in the middle of a rotation also %[1]s%[3]s.crt and %[1]s%[3]s.key, or %[2]s%[3]s.crt and %[2]s%[3]s.key, or both: what is trusted beside them", peerCAFile, clientCAFile, trustedFile)
}

// readAuthorities reads the authorities of a cluster from a directory: those that sign, and those that are trusted
// beside them (nil if there is none). It refuses authorities that could not sign for the cluster.
func readAuthorities(name, directory string, now time.Time) (signing, trusted pki.Authorities, err error) {
	if directory, err = ssh.ExpandHome(directory); err != nil {
		return signing, trusted, err
	}
	var failures []error
	for _, one := range []struct {
		file, commonName string
		signs, trusted   **pki.Authority
	}{{peerCAFile, pki.PeersName(name), &signing.Peers, &trusted.Peers}, {clientCAFile, pki.ClientsName(name), &signing.Clients, &trusted.Clients}} {
		var errSigns, errTrusted error
		*one.signs, errSigns = readAuthority(directory, one.file, one.commonName, now)
		if isThere(directory, one.file+trustedFile) {
			*one.trusted, errTrusted = readAuthority(directory, one.file+trustedFile, one.commonName, now)
		}
		if err := errors.Join(errSigns, errTrusted); err != nil {
			failures = append(failures, err)
		} else if *one.trusted != nil && (*one.trusted).Name() == (*one.signs).Name() {
			failures = append(failures, fmt.Errorf("%s.crt and %[1]s%s.crt are one certificate: the second is of the other authority of a rotation, or is not there", filepath.Join(directory, one.file), trustedFile))
		}
	}
	if err := errors.Join(failures...); err != nil {
		return signing, trusted, err
	}
	for _, peers := range []*pki.Authority{signing.Peers, trusted.Peers} {
		for _, clients := range []*pki.Authority{signing.Clients, trusted.Clients} {
			if peers != nil && clients != nil {
				failures = append(failures, pki.Authorities{Peers: peers, Clients: clients}.Check())
			}
		}
	}
	return signing, trusted, errors.Join(failures...)
}

// isThere tells whether at least one file of a pair exists.
func isThere(directory, file string) bool {
	return !isMissing(filepath.Join(directory, file+".crt")) || !isMissing(filepath.Join(directory, file+".key"))
}

// readAuthority reads one authority, and refuses one that etcd_pki has made under another common name.
func readAuthority(directory, file, commonName string, now time.Time) (*pki.Authority, error) {
	certificate, key := filepath.Join(directory, file+".crt"), filepath.Join(directory, file+".key")
	certificatePEM, errCertificate := os.ReadFile(certificate)
	keyPEM, errKey := readPrivate(key)
	if err := errors.Join(errCertificate, errKey); err != nil {
		return nil, fmt.Errorf("%w; the directory has to hold %s", err, importedFiles())
	}
	authority, err := pki.ParseAuthority(certificatePEM, keyPEM, now)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", certificate, key, err)
	}
	info, err := cert.Inspect(authority.CertificatePEM())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certificate, err)
	}
	if pki.IsMadeHere(info.CommonName) && pki.Numberless(info.CommonName) != commonName {
		return nil, fmt.Errorf("%s is of the authority %q, and %q is wanted here: give the files of each authority, and the cluster, the right name",
			certificate, info.CommonName, commonName)
	}
	return authority, nil
}

// describe fills in algorithm and validity from the certificates of the authorities, the first of each bundle.
func (p *pkiModel) describe(peers, clients string) error {
	var ends []cert.Info
	var algorithms []pki.Algorithm
	for _, certificate := range []string{peers, clients} {
		algorithm, err := authority.Algorithm(certificate)
		if err != nil {
			return err
		}
		signs, err := cert.ParseLeaf([]byte(certificate))
		if err != nil {
			return err
		}
		algorithms, ends = append(algorithms, algorithm), append(ends, cert.InfoOf(signs))
	}
	if algorithms[0] != algorithms[1] {
		return fmt.Errorf("the key of the authority of the peers is %s, and that of the clients' %s, and an etcd_pki has one algorithm: "+
			"give them to etcd_cluster and etcd_certificate as `pki`, without an etcd_pki", algorithms[0], algorithms[1])
	}
	p.Algorithm = types.StringValue(string(algorithms[0]))
	p.Validity = types.StringValue(spelled(min(validityOf(ends[0]), validityOf(ends[1]))))
	return nil
}

// validityOf returns the validity that an authority was asked to have, without the time by which etcd_pki backdates.
func validityOf(info cert.Info) time.Duration {
	lasts := info.NotAfter.Sub(info.NotBefore)
	if pki.IsMadeHere(info.CommonName) {
		lasts -= cert.Backdate
	}
	return lasts
}

// validities returns the validity that each authority of a bundle was asked to have.
func validities(bundle types.String) (all []time.Duration) {
	certificates, _ := cert.Parse([]byte(bundle.ValueString()))
	for _, certificate := range certificates {
		all = append(all, validityOf(cert.InfoOf(certificate)))
	}
	return all
}

// spelled writes a duration as a user does: 87600h, and not 87600h0m0s.
func spelled(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
