package certificates

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
)

// formerAuthoritiesKey is the key of private state that holds the authorities that have verified members before. A
// machine that missed a rotation still has files of these.
const formerAuthoritiesKey = "former_authorities"

// formerAuthoritiesKept bounds how many former authorities a resource keeps. It keeps the latest.
const formerAuthoritiesKept = 16

// earlier is what a resource has written before, on any machine, and may therefore overwrite.
type earlier struct {
	files       map[string]string   // the files of its state, with what it has written to each
	authorities []*x509.Certificate // the authorities by which members are verified by its state, and were before
}

// earlierOf reads what a resource has written before. state is nil if there is none.
func earlierOf(ctx context.Context, private private.State, state *certificateModel) (written earlier, diags diag.Diagnostics) {
	if state == nil {
		return earlier{}, nil
	}
	written = earlier{files: state.certificates()}
	written.authorities, _ = cert.Parse([]byte(state.CACertificate.ValueString())) // a damaged state has none
	encoded, diags := private.GetKey(ctx, formerAuthoritiesKey)
	if len(encoded) == 0 {
		return written, diags
	}
	var former [][]byte
	if err := json.Unmarshal(encoded, &former); err != nil {
		diags.AddError("The private state cannot be read", err.Error())
	}
	for _, der := range former {
		if authority, err := x509.ParseCertificate(der); err == nil {
			written.authorities = append(written.authorities, authority)
		}
	}
	return written, diags
}

// noteFormer keeps the authorities of earlier files in private state, except for those that verify members now.
func (e earlier) noteFormer(ctx context.Context, private private.State, now string) diag.Diagnostics {
	present, _ := cert.Parse([]byte(now))
	var former [][]byte
	for _, authority := range e.authorities {
		if !slices.ContainsFunc(present, authority.Equal) && len(former) < formerAuthoritiesKept &&
			!slices.ContainsFunc(former, func(der []byte) bool { return bytes.Equal(der, authority.Raw) }) {
			former = append(former, authority.Raw)
		}
	}
	if former == nil {
		return nil
	}
	encoded, err := json.Marshal(former)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("The earlier authorities cannot be kept", err.Error())}
	}
	return private.SetKey(ctx, formerAuthoritiesKey, encoded)
}

// refuseOverwriting refuses to write certificates of an authority, PEM, over those of another one, or over anything
// else. After a lost state, for example, the files hold the operator's certificates of a cluster that still runs. A
// resource may overwrite what it has written before, and what damage has left of that.
func (c certificateModel) refuseOverwriting(authority string, written earlier) error {
	var refusals []error
	files := c.files()
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := written.overwritable(file, authority); err != nil {
			refusals = append(refusals, fmt.Errorf("%s is not overwritten: %w", file, err))
		}
	}
	return errors.Join(refusals...)
}

// files returns the paths of the files that the resource writes.
func (c certificateModel) files() map[string]bool {
	files := map[string]bool{}
	for _, file := range []string{c.CertificateFile.ValueString(), c.CACertificateFile.ValueString()} {
		if file != "" {
			files[file] = true
		}
	}
	return files
}

// overwritable returns why a file must not be overwritten with a certificate of an authority, PEM, or nil. A file may
// be overwritten if it holds only certificates of this authority, or of one that this resource has had before: the
// former can be issued again, and the latter are no longer accepted. Anything else in a file, such as a private key
// beside its certificate, may exist nowhere else.
func (e earlier) overwritable(file, authority string) error {
	path, err := ssh.ExpandHome(file)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	before, ours := e.files[file]
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
	present, _ := cert.Parse([]byte(authority))
	for i, held := range certificates {
		if !issuedByAny(held, present) && !issuedByAny(held, e.authorities) && !isOfRotation(held, certificates, present) && !follows(certificates, i) {
			return fmt.Errorf("it holds a certificate of another authority (%s, issued by %s, valid until %s). Whoever uses it would no longer be let in, or trust, what it is for: "+
				"if this state was lost, bring a copy of it back, so that no new authority is made; otherwise %s",
				held.Subject, held.Issuer, held.NotAfter.UTC().Format("2006-01-02"), remedy)
		}
	}
	return nil
}

// leftOf tells whether a text is what a full or damaged disk leaves of a written one: its beginning, followed by zeros.
func leftOf(text, written string) bool {
	return strings.HasPrefix(written, strings.TrimRight(text, "\x00"))
}

// issuedByAny tells whether a certificate is one of the authorities, or signed by one of them.
func issuedByAny(held *x509.Certificate, authorities []*x509.Certificate) bool {
	return slices.ContainsFunc(authorities, func(ca *x509.Certificate) bool { return cert.IsOf(held, ca) })
}

// follows tells whether a certificate in a file is an intermediate behind a client's: it has signed the one before.
func follows(certificates []*x509.Certificate, i int) bool {
	return i > 0 && !certificates[0].IsCA && certificates[i-1].CheckSignatureFrom(certificates[i]) == nil
}

// isOfRotation tells whether a bundle holds an authority because a rotation replaces it by one of the present
// authorities, or these by it. etcd_pki gives both the same name with another number, so that a resource recognises the
// bundle of a rotation that it has not seen.
func isOfRotation(held *x509.Certificate, bundle, present []*x509.Certificate) bool {
	name := held.Subject.CommonName
	return held.IsCA && pki.IsMadeHere(name) && slices.ContainsFunc(present, func(ca *x509.Certificate) bool {
		other := ca.Subject.CommonName
		return name != other && pki.Numberless(name) == pki.Numberless(other) && slices.ContainsFunc(bundle, ca.Equal)
	})
}
