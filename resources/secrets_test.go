package resources_test

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestNoSecretLeaks holds that state and plan hold no private keys except those of the authorities, in etcd_pki, and
// that logs hold none at any level.
func TestNoSecretLeaks(t *testing.T) {
	dir, logs := t.TempDir(), t.TempDir()
	t.Setenv("TF_ACC_TEMP_DIR", dir)
	t.Setenv("TF_ACC_LOG", "TRACE")
	t.Setenv("TF_ACC_LOG_PATH", filepath.Join(logs, "trace.log"))
	key := filepath.Join(t.TempDir(), "client.key")
	w := newWorld(t)
	w.alone = true

	config := three(unprotected) + fmt.Sprintf(`
		resource "etcd_certificate" "client" {
			pki              = etcd_pki.prod.client_authority
			common_name      = "app"
			private_key_file = %q
		}
		ephemeral "etcd_certificate" "app" {
			pki         = etcd_pki.prod.client_authority
			common_name = "app"
		}`, key)
	var authorities []string
	seen := map[string]bool{}
	scan := func() error {
		for _, place := range []struct {
			dir     string
			allowed []string
		}{{dir, authorities}, {logs, nil}} {
			for file, content := range filesIn(t, place.dir) {
				seen[filepath.Base(file)] = true
				if err := findKeys(content, place.allowed, secretsOf(t, key, authorities, place.allowed)); err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
			}
		}
		return nil
	}
	w.run(t,
		tftest.TestStep{Config: config, Check: func(s *terraform.State) error {
			pki := s.RootModule().Resources["etcd_pki.prod"].Primary.Attributes
			authorities = []string{pki["authority.peer.private_key"], pki["authority.client.private_key"]}
			return scan()
		}},
		tftest.TestStep{ // The plan of a repair, with everything before and after.
			PreConfig:        func() { w.Host("192.0.2.12").StopUnit("prod") },
			Config:           config,
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planFunc(func(_, _, _ map[string]any) error { return scan() })}},
			Check:            func(*terraform.State) error { return scan() },
		},
		tftest.TestStep{ // A failure, which saves what was observed.
			PreConfig: func() {
				w.Inject(nodetest.Fault{Operation: api.OpRestart, Err: &api.Error{Code: api.CodeFailed, Message: "its unit is masked"}})
			},
			Config:      strings.Replace(config, unprotected, unprotected+"settings = { snapshot_count = 5000 }\n", 1),
			ExpectError: says("its unit is masked"),
		},
		tftest.TestStep{PreConfig: w.Heal, Config: config, Check: func(*terraform.State) error {
			for _, kept := range w.privately() {
				if err := findKeys([]byte(unpacked(t, kept)), nil, secretsOf(t, key, authorities, nil)); err != nil {
					return fmt.Errorf("private state: %w", err)
				}
			}
			return scan()
		}})

	// A scan that finds nothing because it reads nothing would prove nothing.
	for _, file := range []string{"terraform.tfstate", "tfplan", "trace.log"} {
		if !seen[file] {
			t.Errorf("there was no %s to look at, only %v", file, seen)
		}
	}
	if log := mustRead(t, filepath.Join(logs, "trace.log")); !bytes.Contains(log, []byte("start b (192.0.2.12)")) {
		t.Error("the log does not hold what the provider logs")
	}
	if err := findKeys([]byte(authorities[0]), nil, nil); err == nil {
		t.Error("the scan does not find a private key")
	}
	for _, line := range w.progress.lines {
		if err := findKeys([]byte(line), nil, nil); err != nil {
			t.Errorf("progress: %v", err)
		}
	}
}

// filesIn returns the contents of all files in a directory, with those of archives unpacked.
func filesIn(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		files[path] = content
		if archive, notOne := zip.NewReader(bytes.NewReader(content), int64(len(content))); notOne == nil {
			for _, packed := range archive.File {
				reader, err := packed.Open()
				if err != nil {
					return err
				}
				if files[filepath.Join(path, packed.Name)], err = io.ReadAll(reader); err != nil {
					return err
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// secretsOf returns the bytes of the private keys that must not be found: the client's key, and the authorities' keys
// if they are not allowed either.
func secretsOf(t *testing.T, file string, authorities, allowed []string) [][]byte {
	t.Helper()
	texts := []string{string(mustRead(t, file))}
	for _, authority := range authorities {
		if !slices.Contains(allowed, authority) {
			texts = append(texts, authority)
		}
	}
	var secrets [][]byte
	for _, text := range texts {
		secrets = append(secrets, scalarOf(t, text))
	}
	return secrets
}

// scalarOf returns the bytes of an ECDSA key, PEM.
func scalarOf(t *testing.T, text string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("there is no PEM")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		key = parsed.(*ecdsa.PrivateKey)
	}
	scalar, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return scalar
}

var privateKey = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*-----END [A-Z ]*PRIVATE KEY-----`)

// findKeys returns an error if a text holds a private key as PEM that is not allowed, or the bytes of a secret: plain,
// in hexadecimal, or in base64 at any offset.
func findKeys(content []byte, allowed []string, secrets [][]byte) error {
	// JSON in JSON, as logs have it, escapes line breaks more than once.
	text := regexp.MustCompile(`\\+n`).ReplaceAllString(string(content), "\n")
	for _, block := range privateKey.FindAllString(text, -1) {
		if !slices.ContainsFunc(allowed, func(a string) bool { return strings.TrimSpace(a) == block }) {
			return fmt.Errorf("it holds a private key that begins %.40q", block)
		}
	}
	for _, secret := range secrets {
		forms := [][]byte{secret, []byte(hex.EncodeToString(secret))}
		for offset := range 3 {
			encoded := base64.StdEncoding.EncodeToString(append(make([]byte, offset), secret...))
			forms = append(forms, []byte(encoded[4:len(encoded)-4])) // its ends depend on what stands beside it
		}
		for _, form := range forms {
			if bytes.Contains(content, form) || bytes.Contains([]byte(strings.ReplaceAll(text, "\n", "")), form) {
				return fmt.Errorf("it holds the bytes of a private key")
			}
		}
	}
	return nil
}

// TestScanFindsBytes holds that the scan itself can fail.
func TestScanFindsBytes(t *testing.T) {
	key, _ := madeKey(t)
	scalar := scalarOf(t, string(key))
	asJSON, err := json.Marshal(map[string]string{"key": string(key)})
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Join(strings.Split(string(key), "\n")[1:4], "\n")
	for name, content := range map[string][]byte{
		"PEM in JSON": asJSON, "bytes": append([]byte("xx"), scalar...), "hexadecimal": fmt.Appendf(nil, "%x", scalar), "the body of PEM": []byte(body),
	} {
		if findKeys(content, nil, [][]byte{scalar}) == nil {
			t.Errorf("%s was not found", name)
		}
	}
	if err := findKeys([]byte("nothing"), nil, [][]byte{scalar}); err != nil {
		t.Error(err)
	}
}
