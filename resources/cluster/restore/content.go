package restore

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/s3"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/source"
)

// Content is a snapshot as hosts get it, with the identities that decrypt it.
type Content struct {
	upgrade.Content
	Identity secret.Text
}

// ContentOf returns the snapshot that a configuration names. done releases it.
func ContentOf(ctx context.Context, object types.Object, backup *api.Backup) (c Content, done func() error, err error) {
	done = func() error { return nil }
	var r Model
	if diags := object.As(ctx, &r, basetypes.ObjectAsOptions{}); diags.HasError() {
		return c, done, fmt.Errorf("restore: %s", diags.Errors()[0].Detail())
	}
	c.Identity = secret.New(r.Identity.Reveal())
	var local *source.Content
	switch {
	case r.RollBack.ValueBool():
		return c, done, nil
	case !r.File.IsNull():
		file, err := ssh.ExpandHome(r.File.ValueString())
		if err == nil {
			local, err = source.File(file)
		}
		if err != nil {
			return c, done, fmt.Errorf("restore.file: %w", err)
		}
	case !r.URL.IsNull():
		if local, err = source.Download(ctx, r.URL.ValueString(), os.TempDir()); err != nil {
			return c, done, fmt.Errorf("restore.url: %w", err)
		}
	case !r.Backup.IsNull():
		if c.Identity.IsEmpty() {
			c.Identity = backup.Rehearsal.Identity
		}
		if backup.S3 != nil {
			c.Remote = &api.Source{Backup: r.Backup.ValueString(), In: backup.S3}
			return c, done, nil
		}
		var spool *source.Content
		c.Kept = &upgrade.Kept{Name: r.Backup.ValueString(), Receive: func(fill func(io.Writer) error) (open upgrade.Opener, err error) {
			if spool, err = source.Received(os.TempDir(), fill); err != nil {
				return nil, err
			}
			return opens(spool), nil
		}}
		done = func() error {
			if spool == nil {
				return nil
			}
			return spool.Close()
		}
		return c, done, nil
	default:
		s3, diags := s3.ObjectFrom(ctx, r.S3)
		if diags.HasError() {
			return c, done, fmt.Errorf("restore.s3: %s", diags.Errors()[0].Detail())
		}
		c.Remote = &api.Source{S3: s3}
		return c, done, nil
	}
	c.Open = opens(local)
	return c, local.Close, nil
}

// opens is the executor's access to a snapshot on this machine.
func opens(c *source.Content) upgrade.Opener {
	return func(context.Context) (io.ReadCloser, api.Upload, error) {
		reader, err := c.Open()
		return reader, api.Upload{SizeBytes: c.SizeBytes, SHA256: c.SHA256}, err
	}
}
