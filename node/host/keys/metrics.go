package keys

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// expiryMetric is the metric that says when a certificate expires.
const expiryMetric = "etcd_certificate_expiry_timestamp_seconds"

// PutMetrics writes, for monitoring, when the cluster's certificates and authorities on this host expire. Whoever
// writes certificates calls it. These times do not change by themselves, so no timer is needed, and the member is not
// asked.
func (k Keys) PutMetrics(cluster, member string) error {
	file := api.CertificateMetricsFile(cluster)
	// An existing directory may be node_exporter's own, or a link to it, and stays as it is.
	if is, err := os.Stat(k.Files.Path(path.Dir(file))); err != nil || !is.IsDir() {
		if err := k.Files.EnsureDir(path.Dir(file), files.RootUser, files.PublicDir); err != nil {
			return err
		}
	}
	_, err := k.Files.Put(files.File{Path: file, Text: k.metrics(cluster, member), Owner: files.RootUser, Mode: files.UnitFile})
	return err
}

// RemoveMetrics removes the metrics of a cluster that leaves the host. It ignores errors: they must not keep the
// cluster from leaving.
func (k Keys) RemoveMetrics(cluster string) {
	file := api.CertificateMetricsFile(cluster)
	_ = files.Remove(k.Files.Path(file))
	// A link to somebody else's directory stays.
	if is, err := os.Lstat(k.Files.Path(path.Dir(file))); err == nil && is.IsDir() {
		_ = k.Files.RemoveEmpty(path.Dir(file))
	}
}

// metrics returns when the certificates expire, in Prometheus' text format. It leaves out what cannot be read: an alert
// for absent certificates finds that.
func (k Keys) metrics(cluster, member string) []byte {
	places := map[string]string{}
	for _, name := range api.KeyNames {
		places[name] = api.CertificateFile(cluster, name)
	}
	for name, place := range bundleNames {
		places[name] = place(cluster)
	}
	var lines []string
	for name, place := range places {
		text, _, err := k.read(place)
		if err != nil {
			continue
		}
		certificates, err := cert.Parse(text)
		if err != nil {
			continue
		}
		for _, c := range certificates {
			lines = append(lines, fmt.Sprintf("%s{cluster=%q,member=%q,file=%q,subject=%q,sha256=%q} %d\n", expiryMetric, cluster, member, name, label(c.Subject.CommonName), cert.Name(c), c.NotAfter.Unix()))
		}
	}
	slices.Sort(lines)
	var text bytes.Buffer
	fmt.Fprintf(&text, "# HELP %s When a certificate of the member on this host, or an authority that it trusts, expires.\n# TYPE %[1]s gauge\n", expiryMetric)
	for _, line := range slices.Compact(lines) { // the collector refuses a line that is there twice
		text.WriteString(line)
	}
	return text.Bytes()
}

// label removes from a text what Go and Prometheus' format write in different ways.
func label(text string) string {
	clean := []rune(text)
	for i, char := range clean {
		if char < ' ' || char == '"' || char == '\\' || char > '~' {
			clean[i] = '_'
		}
	}
	return string(clean)
}
