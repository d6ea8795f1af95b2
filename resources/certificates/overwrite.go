package certificates

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// refuseOverwriting refuses to write certificates of an authority over what is of another one, or anything else: where a state was
// lost, say, those are the operator's certificates of a cluster that runs on. written are the files of the state, with what was
// written to each: a file that holds that, or what damage has left of it, is its own.
func (c certificateModel) refuseOverwriting(authority string, written map[string]string) error {
	var refusals []error
	files := c.files()
	for _, file := range slices.Sorted(maps.Keys(files)) {
		before, ours := written[file]
		if err := overwritable(file, authority, before, ours); err != nil {
			refusals = append(refusals, fmt.Errorf("%s is not overwritten: %w", file, err))
		}
	}
	return errors.Join(refusals...)
}

// files are the files that the certificates are written to.
func (c certificateModel) files() map[string]bool {
	files := map[string]bool{}
	for _, file := range []string{c.CertificateFile.ValueString(), c.CACertificateFile.ValueString()} {
		if file != "" {
			files[file] = true
		}
	}
	return files
}

// overwritable says why a file must not be overwritten with a certificate of an authority; nil: it may. It may where it holds
// nothing but certificates of that authority, which can be issued again: whatever else is in it (a private key beside its
// certificate, say) may be all that there is of it. before is what this resource has written to it, where it is ours.
func overwritable(file, authority, before string, ours bool) error {
	path, err := ssh.ExpandHome(file)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case ours && leftOf(string(text), before), len(bytes.TrimSpace(text)) == 0:
		return nil
	}
	const remedy = "move it away if nothing needs it any more, or name another file"
	certificates, err := cert.ParseOnly(text)
	if err != nil {
		return fmt.Errorf("%w, which no certificate may take the place of; %s", err, remedy)
	}
	for _, held := range certificates {
		if !issuedBy(held, authority) {
			return fmt.Errorf("it holds a certificate of another authority (%s, issued by %s, valid until %s). Whoever uses it would no longer be let in, or trust, what it is for: "+
				"if this state was lost, bring a copy of it back, so that no new authority is made; otherwise %s",
				held.Subject, held.Issuer, held.NotAfter.UTC().Format("2006-01-02"), remedy)
		}
	}
	return nil
}

// leftOf tells whether a text is what a full or damaged disk leaves of what was written: its beginning, zeros after that.
func leftOf(text, written string) bool {
	return strings.HasPrefix(written, strings.TrimRight(text, "\x00"))
}

// issuedBy tells whether a certificate is that of one of the authorities, PEM, or was signed by it: during a rotation there are two.
func issuedBy(held *x509.Certificate, authorities string) bool {
	all, err := cert.Parse([]byte(authorities))
	return err == nil && slices.ContainsFunc(all, func(ca *x509.Certificate) bool { return cert.IsOf(held, ca) })
}
