package certificates

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/rotation"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

var _ resource.ResourceWithImportState = (*pkiResource)(nil)

// Files that authorities are imported from. Hosts have the certificates under the same names.
const (
	peerCAFile   = "peer-ca"
	clientCAFile = "client-ca"
)

// ImportState takes authorities into the state that were made earlier: NAME@DIRECTORY. Their PEM files are in the directory.
func (r *pkiResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	name, directory, found := strings.Cut(req.ID, "@")
	if !found || directory == "" || !validate.ClusterNamePattern.MatchString(name) {
		resp.Diagnostics.AddError("The import ID of the authorities is not valid", fmt.Sprintf("%q does not say which: it has to be NAME@DIRECTORY, like \"prod@./authorities\", "+
			"with the name of the cluster as `name` has it. The directory holds %s.", req.ID, importedFiles()))
		return
	}
	authorities, err := readAuthorities(name, directory, r.providerData.Now())
	if err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("The authorities of %s were not imported", name), err.Error()+"\n\nNothing was changed.")
		return
	}
	state := pkiModel{Name: types.StringValue(name), Revoked: types.SetNull(types.StringType)}
	if err := state.describe(string(authorities.Peers.CertificatePEM()), string(authorities.Clients.CertificatePEM())); err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("The authorities of %s were not imported", name), err.Error()+"\n\nNothing was changed.")
		return
	}
	state.Rotation = types.ObjectNull(rotationType())
	resp.Diagnostics.Append(state.holdNew(ctx, authorities)...)
	resp.Diagnostics.Append(record(ctx, resp.Private, rotation.Recorded{Imported: true})...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// importedFiles names the files for an error.
func importedFiles() string {
	return fmt.Sprintf("%[1]s.crt and %[1]s.key, the authority of the peers, and %[2]s.crt and %[2]s.key, that of the clients, each PEM", peerCAFile, clientCAFile)
}

// readAuthorities reads both authorities of a cluster from a directory, and refuses what could not sign for it.
func readAuthorities(name, directory string, now time.Time) (pki.Authorities, error) {
	directory, err := ssh.ExpandHome(directory)
	if err != nil {
		return pki.Authorities{}, err
	}
	peers, errPeers := readAuthority(directory, peerCAFile, pki.PeersName(name), now)
	clients, errClients := readAuthority(directory, clientCAFile, pki.ClientsName(name), now)
	if err := errors.Join(errPeers, errClients); err != nil {
		return pki.Authorities{}, err
	}
	authorities := pki.Authorities{Peers: peers, Clients: clients}
	return authorities, authorities.Check()
}

// readAuthority reads one authority. One that etcd_pki has made says in its name what it is for.
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

// describe takes over what the authorities that sign, the first of each bundle, were made by, as their certificates say it.
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

// validityOf is how long an authority was asked to be valid: what etcd_pki backdates is no part of it.
func validityOf(info cert.Info) time.Duration {
	lasts := info.NotAfter.Sub(info.NotBefore)
	if pki.IsMadeHere(info.CommonName) {
		lasts -= cert.Backdate
	}
	return lasts
}

// validities are how long each authority of a bundle was asked to be valid.
func validities(bundle types.String) (all []time.Duration) {
	certificates, _ := cert.Parse([]byte(bundle.ValueString()))
	for _, certificate := range certificates {
		all = append(all, validityOf(cert.InfoOf(certificate)))
	}
	return all
}

// spelled is a duration as somebody writes it: 87600h, and not 87600h0m0s.
func spelled(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
