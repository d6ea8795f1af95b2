package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// TestSecretsOfRequests holds that what hosts are told prints none of its secrets, carries them all where it is
// revealed, and is spelled as hosts have it in their files: the digest that they keep of a backup is that of this text.
func TestSecretsOfRequests(t *testing.T) {
	const password, identity = "hunter2-of-the-bucket", "AGE-SECRET-KEY-1HUNTER2"
	s3 := &api.S3{Endpoint: "https://s3.example.com", Region: "eu", Bucket: "b", Key: "k", AccessKeyID: "id", SecretAccessKey: secret.New(password)}
	backup := api.Backup{Digest: "d", Schedule: "hourly", S3: s3, Rehearsal: &api.Rehearsal{Schedule: "weekly", Identity: secret.New(identity), MaxAge: 1}}
	renewal := api.Renewal{Peers: &api.SigningPlace{Digest: "d", URL: "https://192.0.2.8", Key: secret.New(password)}, Clients: &api.SigningPlace{Key: secret.New(identity)}}
	requests := []any{
		renewal, &renewal, api.RenewOnHostRequest{Owner: "o", Renewal: &renewal},
		backup, &backup, api.BackUpRequest{Owner: "o", Backup: &backup}, api.SaveRequest{Owner: "o", S3: s3},
		api.FetchRequest{Owner: "o", Source: api.Source{S3: s3}, Identity: secret.New(identity)},
		api.FetchRequest{Owner: "o", Source: api.Source{Backup: "latest", In: s3}, Identity: secret.New(identity)},
	}
	for _, request := range requests {
		plain, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		said := string(plain) + fmt.Sprintf("%v %+v %#v %s", request, request, request, request)
		if strings.Contains(said, password) || strings.Contains(said, identity) {
			t.Errorf("a %T prints a secret: %s", request, said)
		}
		open, err := json.Marshal(secret.Revealed(request))
		if err != nil || !strings.Contains(string(open), password) || strings.Contains(string(open), "(") {
			t.Errorf("a %T goes to a host as %s, %v", request, open, err)
		}
	}
	const stored = `{"digest":"d","schedule":"hourly","s3":{"endpoint":"https://s3.example.com","region":"eu","bucket":"b","key":"k",` +
		`"access_key_id":"id","secret_access_key":"hunter2-of-the-bucket"},"keep":{},"rehearsal":{"schedule":"weekly","identity":"AGE-SECRET-KEY-1HUNTER2","max_age":1}}`
	if text, err := json.Marshal(secret.Revealed(backup)); err != nil || string(text) != stored {
		t.Errorf("a backup is stored as\n%s, not\n%s, %v", text, stored, err)
	}
	var read api.Backup
	if err := json.Unmarshal([]byte(stored), &read); err != nil || read.S3.SecretAccessKey.Reveal() != password || read.Rehearsal.Identity.Reveal() != identity {
		t.Errorf("a backup reads back as %+v, %v", read, err)
	}
	if text, err := json.Marshal(secret.Revealed(api.Backup{Schedule: "hourly", S3: &api.S3{}, Rehearsal: &api.Rehearsal{}})); err != nil ||
		strings.Contains(string(text), "secret") || strings.Contains(string(text), "identity") {
		t.Errorf("a backup without secrets is stored as %s, %v", text, err)
	}
}
