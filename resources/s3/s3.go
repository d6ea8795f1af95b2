// Package s3 has the attributes that say where objects are in S3-compatible storage, and converts them for hosts.
package s3

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

// storage is S3-compatible storage.
type storage struct {
	Endpoint        types.String     `tfsdk:"endpoint"`
	Region          types.String     `tfsdk:"region"`
	Bucket          types.String     `tfsdk:"bucket"`
	PathStyle       types.Bool       `tfsdk:"path_style"`
	CACertificate   types.String     `tfsdk:"ca_certificate"`
	AccessKeyID     types.String     `tfsdk:"access_key_id"`
	SecretAccessKey sensitive.String `tfsdk:"secret_access_key"` // write-only: null except in a configuration
}

// Object is one object in the storage.
type Object struct {
	storage
	Key types.String `tfsdk:"key"`
}

// prefix is all objects in the storage whose keys begin with a prefix.
type prefix struct {
	storage
	Prefix types.String `tfsdk:"prefix"`
	Key    types.String `tfsdk:"key"` // the former name of Prefix: null except in a configuration, which is refused
}

// formerPrefix is the former name of prefix.
var formerPrefix = validate.Renamed{From: "key", To: "prefix"}

// ObjectAttributes returns the attributes that say where an object is. about describes its key.
func ObjectAttributes(about string) map[string]schema.Attribute { return attributes("key", about) }

// Prefix returns the attribute that says where objects are. about describes their purpose, and aboutPrefix their
// prefix. The attribute's object checks that the prefix is set: Terraform would only say that it is missing, even if a
// configuration has it by its former name.
func Prefix(about, aboutPrefix string) schema.SingleNestedAttribute {
	within := attributes("prefix", aboutPrefix)
	prefix := within["prefix"].(schema.StringAttribute)
	prefix.Required, prefix.Optional = false, true
	within["prefix"] = prefix
	within[formerPrefix.From] = schema.StringAttribute{Optional: true, DeprecationMessage: formerPrefix.Deprecated(),
		MarkdownDescription: "The former name of `prefix`, which is refused."}
	return schema.SingleNestedAttribute{Optional: true, Attributes: within, Validators: []validator.Object{formerPrefix, validate.Required{"prefix"}}, MarkdownDescription: about}
}

// attributes returns the attributes that say where objects are. name is the attribute that says which.
func attributes(name, about string) map[string]schema.Attribute {
	some := []validator.String{stringvalidator.LengthAtLeast(1)}
	return map[string]schema.Attribute{
		"endpoint": schema.StringAttribute{Required: true, Validators: []validator.String{validate.S3Endpoint},
			MarkdownDescription: "Address of the storage: `https://HOST` or `https://HOST:PORT`. With `http://` everything, the data too, crosses the network in the clear."},
		"region":     schema.StringAttribute{Optional: true, MarkdownDescription: "Region of the bucket. Default: `us-east-1`, which most storage that is not Amazon's takes for any.", Validators: some},
		"bucket":     schema.StringAttribute{Required: true, MarkdownDescription: "Name of the bucket. It has to exist.", Validators: some},
		name:         schema.StringAttribute{Required: true, MarkdownDescription: about, Validators: some},
		"path_style": schema.BoolAttribute{Optional: true, MarkdownDescription: "Whether the bucket is part of the path and not of the host name, as most storage that is not Amazon's wants it. Default: `false`."},
		"ca_certificate": schema.StringAttribute{Optional: true, Validators: some,
			MarkdownDescription: "PEM certificates of the authorities that the storage's certificate is verified by. Default: those that the hosts trust."},
		"access_key_id": schema.StringAttribute{Optional: true, Validators: some,
			MarkdownDescription: "ID of the access key. Default: with no access key, each host uses the role of its instance."},
		"secret_access_key": schema.StringAttribute{Optional: true, WriteOnly: true, Sensitive: true, CustomType: sensitive.StringType{}, Validators: some,
			MarkdownDescription: "Secret of the access key, where there is one. Write-only: no state holds it."},
	}
}

// ObjectFrom returns the object as hosts get it, or nil if there is none or it is not known yet.
func ObjectFrom(ctx context.Context, object types.Object) (*api.S3, diag.Diagnostics) {
	if object.IsNull() || object.IsUnknown() {
		return nil, nil
	}
	var s Object
	diags := object.As(ctx, &s, basetypes.ObjectAsOptions{})
	return s.at(s.Key), diags
}

// PrefixFrom returns all objects with a prefix as hosts get them, or nil likewise.
func PrefixFrom(ctx context.Context, object types.Object) (*api.S3, diag.Diagnostics) {
	if object.IsNull() || object.IsUnknown() {
		return nil, nil
	}
	var s prefix
	diags := object.As(ctx, &s, basetypes.ObjectAsOptions{})
	return s.at(s.Prefix), diags
}

// at returns a key or a prefix in the storage as hosts get it.
func (s storage) at(key types.String) *api.S3 {
	return &api.S3{
		Endpoint: s.Endpoint.ValueString(), Region: s.Region.ValueString(), Bucket: s.Bucket.ValueString(), Key: key.ValueString(),
		PathStyle: s.PathStyle.ValueBool(), CA: s.CACertificate.ValueString(),
		AccessKeyID: s.AccessKeyID.ValueString(), SecretAccessKey: secret.New(s.SecretAccessKey.Reveal()),
	}
}

// Check refuses incomplete credentials.
func Check(at path.Path, object types.Object) (diags diag.Diagnostics) {
	if object.IsNull() || object.IsUnknown() {
		return nil
	}
	if object.Attributes()["access_key_id"].IsNull() != object.Attributes()["secret_access_key"].IsNull() {
		diags.AddAttributeError(at, "The credentials are incomplete",
			"access_key_id and secret_access_key are given together. With neither, each host uses the role of its instance.")
	}
	return diags
}
